"""A centre as its users have it: env.yaml, a task file and plugins in a folder, on the real server."""

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from scheduler.center import SchedulerCenter
from scheduler.core.run import Run
from scheduler.plugins import loader

PLUGIN = """
import os, threading, time
from scheduler import current_run, should_stop
GO = threading.Event()

def run(x=None): return x
def boom(): raise ValueError("no")
def hold(): GO.wait(20); return "held"
def polite():
    while not should_stop(): time.sleep(0.002)
    return "half"
"""


class Desk:
    """One deployment in a folder. ``center`` makes a SchedulerCenter of it; all of them are shut down at the end."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.centers: list[SchedulerCenter] = []
        (folder / "plugins").mkdir(mode=0o755)
        self.plugin("simple", PLUGIN)

    def plugin(self, name: str, text: str) -> Path:
        path = self.folder / "plugins" / f"{name}.py"
        path.write_text(dedent(text), encoding="utf-8")
        path.chmod(0o644)
        return path

    def settings(self, tasks: Mapping[str, Any] | str, sections: Mapping[str, Any]) -> Path:
        """env.yaml and tasks.yaml; ``tasks`` may be the text of the task file."""
        text = tasks if isinstance(tasks, str) else json.dumps({"tasks": tasks})
        (self.folder / "tasks.yaml").write_text(dedent(text), encoding="utf-8")
        usual = {
            "scheduler": {"name": "t", "tasks": "tasks.yaml", "timezone": "UTC"},
            "redis": {"url": self.url, "data_dir": "data"},
            "worker": {"shutdown_timeout": 2},
        }
        env = {name: {**usual.get(name, {}), **sections.get(name, {})} for name in {**usual, **sections}}
        path = self.folder / "env.yaml"
        path.write_text(json.dumps(env), encoding="utf-8")
        return path

    def center(self, tasks: Mapping[str, Any] | str | None = None, **sections: Any) -> SchedulerCenter:
        self.centers.append(SchedulerCenter(self.settings({"simple": {"trigger": "none"}} if tasks is None else tasks, sections)))
        return self.centers[-1]

    def started(self, tasks: Mapping[str, Any] | str | None = None, **sections: Any) -> SchedulerCenter:
        center = self.center(tasks, **sections)
        center.start()
        return center

    def module(self, name: str = "simple") -> Any:
        """The plugin as the worker in this process has imported it."""
        from importlib import import_module

        return import_module(name)

    def until(self, condition: Callable[[], Any], seconds: float = 10) -> Any:
        """The first true answer."""
        pause = threading.Event()
        for _ in range(int(seconds / 0.005)):
            if answer := condition():
                return answer
            pause.wait(0.005)
        return pytest.fail("it did not happen")

    def await_state(self, center: SchedulerCenter, run_id: str, state: str, reason: str = "") -> Run:
        """The Run once it is there."""

        def there() -> Run | None:
            run = center.get_run(run_id)
            return run if run and run.state == state and (not reason or run.reason == reason) else None

        found: Run = self.until(there)
        return found


@pytest.fixture
def desk(server: Any, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(sys, "path", list(sys.path))  # a centre enters its plugin folder there, for the life of the process
    monkeypatch.setattr(loader, "_folder", None)
    desk = Desk(tmp_path, server.url)
    yield desk
    for center in desk.centers:
        center.shutdown(wait=False)
    loader.forget()
