"""For the tour: ``plugin`` writes a task's code, ``centre`` makes a scheduling centre of a task file, ``start`` starts one as well."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest

from scheduler import SchedulerCenter
from scheduler.plugins import loader

ENV = """
scheduler: {{name: tour, tasks: tasks.yaml, executors: {{async_slots: 1000}}}}
redis: {{url: "{url}"}}
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[[str, str], Path]:
    folder = tmp_path / "plugins"
    folder.mkdir(mode=0o755)

    def write(name: str, source: str) -> Path:
        path = folder / f"{name}.py"
        path.write_text(dedent(source))
        path.chmod(0o644)
        return path

    return write


@pytest.fixture
def centre(server: Any, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], SchedulerCenter]]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    made: list[SchedulerCenter] = []

    def make(tasks: str) -> SchedulerCenter:
        (tmp_path / "tasks.yaml").write_text(f"tasks:\n{indent(dedent(tasks), '  ')}")
        (tmp_path / "env.yaml").write_text(ENV.format(url=server.url))
        made.append(SchedulerCenter(tmp_path / "env.yaml"))
        return made[-1]

    yield make
    for center in made:
        center.shutdown(wait=False)
    loader.forget()


@pytest.fixture
def start(centre: Callable[[str], SchedulerCenter]) -> Callable[[str], SchedulerCenter]:
    def started(tasks: str) -> SchedulerCenter:
        center = centre(tasks)
        center.start()
        return center

    return started
