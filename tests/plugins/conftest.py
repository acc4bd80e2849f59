"""A plugins folder to write into, the loader pointed at it, and a Run to be inside of."""

import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from scheduler.core.ports import Job
from scheduler.plugins import loader
from scheduler.worker.context import RunContext, StopFlag, inside

SHIPPED = Path(__file__).resolve().parents[2] / "plugins"


class Plugins:
    """A folder with the rights a deployment has, whatever the umask of the tests."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        path.chmod(0o755)

    def write(self, name: str, text: str = "def run(): ...") -> Path:
        file = self.path / name
        file.parent.mkdir(exist_ok=True)
        file.parent.chmod(0o755)
        file.write_text(textwrap.dedent(text), encoding="utf-8")
        file.chmod(0o644)
        return file


@pytest.fixture
def plugins(tmp_path: Path) -> Plugins:
    return Plugins(tmp_path / "plugins")


def _use(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(loader, "_folder", None)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader.use_folder(path)
    yield
    loader.forget()


@pytest.fixture
def loaded(plugins: Plugins, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plugins]:
    """The same folder, in use by the loader of this process."""
    for _ in _use(plugins.path, monkeypatch):
        yield plugins


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Callable[..., object]]]:
    """``resolve`` for the plugins that come with the product."""
    for _ in _use(SHIPPED, monkeypatch):
        yield loader.resolve


class Attempt:
    """What the code inside a Run reported, and the flag that asks it to stop."""

    def __init__(self, scheduled_ms: int | None = None) -> None:
        self.reports: list[tuple[int, str]] = []
        self.stop = StopFlag()
        self.scheduled_ms = scheduled_ms

    def stop_after(self, reports: int) -> "Attempt":
        self.reports_left = reports
        return self

    reports_left = sys.maxsize

    def report(self, percent: int, message: str) -> None:
        self.reports.append((percent, message))
        if len(self.reports) >= self.reports_left:
            self.stop.set()

    def inside(self) -> AbstractContextManager[None]:
        job = Job("run-1", "task", "", {}, 1, 1, self.scheduled_ms, None, None, fresh=False, env={})
        return inside(RunContext(job, self.report, self.stop))


@pytest.fixture
def attempt() -> Attempt:
    return Attempt()


@pytest.fixture
def attempt_at() -> Callable[[int], Attempt]:
    return Attempt
