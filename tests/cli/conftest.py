"""A deployment in a folder, the commands of the CLI run in it, and on demand a worker that does what they ask for."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import redis
from typer.testing import CliRunner, Result

from scheduler.center import SchedulerCenter
from scheduler.cli.app import app
from scheduler.plugins.loader import forget

PLUGINS = {
    "greet": """
        import logging
        from scheduler import current_run

        def run(who: str = "world", fail: bool = False, lines: int = 1):
            for number in range(lines):
                print(f"hello {who} {number}", flush=True)
            current_run().progress(50, "half way")
            if fail:
                raise ValueError("no luck")
            return {"greeted": who}
        """,
    "hold": """
        import time
        from scheduler import should_stop

        def run():
            print("holding", flush=True)
            while not should_stop():
                time.sleep(0.005)
        """,
    "broken": "import not_there_at_all\n",
}
# In processes of their own: in threads of this one they would print into the output of the commands.
TASKS = """
defaults: {executor: processpool}
tasks:
  greet: {trigger: cron, args: {hour: 9, day_of_week: mon-fri}, description: says hello, retry_delay: 0}
  twice: {module: greet, trigger: none, max_attempts: 2, retry_delay: 0, priority: 7, queue: slow}
  hold: {trigger: none}
"""


class Desk:
    """``desk("tasks", "list")`` runs a command; the environment is what a terminal in English would give."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.runner = CliRunner(env={"LANG": "en_US.UTF-8", "LC_ALL": "", "LC_MESSAGES": "", "COLUMNS": "200", "NO_COLOR": "1"})
        (folder / "plugins").mkdir(mode=0o755)
        for name in ("greet", "hold"):
            self.plugin(name)
        self.write("tasks.yaml", TASKS)
        self.configure()

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(dedent(text), encoding="utf-8")
        path.chmod(0o644)
        return path

    def plugin(self, name: str) -> None:
        self.write(f"plugins/{name}.py", PLUGINS[name])

    def configure(self, **sections: Any) -> None:
        usual = {"scheduler": {"tasks": "tasks.yaml"}, "redis": {"url": self.url}, "web": {"port": 0}}
        self.write("env.yaml", json.dumps(usual | sections))

    def __call__(self, *words: str, code: int = 0, stdin: str | None = None, **environ: str) -> Result:
        """The result of a command; it must end with this exit code."""
        result = self.runner.invoke(app, ["-c", str(self.folder / "env.yaml"), *words], input=stdin, env=environ or None)
        assert result.exit_code == code, result.output
        return result

    def json(self, *words: str, code: int = 0, stdin: str | None = None) -> Any:
        return json.loads(self(*words, "-o", "json", code=code, stdin=stdin).stdout)

    def center(self) -> SchedulerCenter:
        return SchedulerCenter(self.folder / "env.yaml")


@pytest.fixture
def desk(tmp_path: Path, server: Any, client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(sys, "path", list(sys.path))  # the plugin folder is entered there
    yield Desk(tmp_path, server.url)
    forget()


@pytest.fixture
def working(desk: Desk) -> Iterator[SchedulerCenter]:
    """A worker at the desk."""
    desk.configure(worker={"shutdown_timeout": 0, "lease": "60s"})
    with desk.center() as center:
        center.start(["worker"])
        yield center
