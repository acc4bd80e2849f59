"""A deployment of text files in a folder of its own, which is the working directory, so that places read env.yaml:3:5."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from scheduler.core.errors import ConfigError
from scheduler.settings import Settings, load_settings

TASKS = "tasks: {}\n"


class Deployment:
    """Files by their path below the folder; an env.yaml and a config/dev.yaml with no tasks are there from the start."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("env.yaml", "").write("config/dev.yaml", TASKS)

    def write(self, path: str, text: str | bytes) -> "Deployment":
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return self

    def load(self, **environ: str) -> Settings:
        return load_settings(environ=environ)

    def problems(self, **environ: str) -> list[str]:
        """What is wrong; a deployment with nothing wrong fails the test."""
        with pytest.raises(ConfigError) as caught:
            self.load(**environ)
        return caught.value.problems


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.chdir(tmp_path)
    return Deployment(tmp_path)


@pytest.fixture
def env(deployment: Deployment) -> Callable[..., Settings]:
    """Settings from the text of an env.yaml and variables."""

    def load(text: str = "", variables: Mapping[str, str] | None = None) -> Settings:
        return deployment.write("env.yaml", text).load(**(variables or {}))

    return load
