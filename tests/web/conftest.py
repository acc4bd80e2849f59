"""Real instances on real stores, served by a real uvicorn on a free port."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from scheduler.center import SchedulerCenter
from scheduler.core.clock import monotonic
from scheduler.observe.metrics import Metrics
from scheduler.service import OwnEvents, Service
from scheduler.web import WebServer

TASKS = """
tasks:
  hello: {trigger: interval, args: {hours: 1}}
  report: {trigger: cron, args: {hour: 3}}
  on_demand: {trigger: none, module: hello}
"""


class Instance:
    """One instance as ``serve`` starts it; its main loop runs in a thread."""

    def __init__(self, folder: Path, store: Any, roles: tuple[str, ...], env: str = "", tasks: str = TASKS) -> None:
        self.store = store
        (folder / "plugins").mkdir(parents=True)
        for name in ("hello", "report"):
            (folder / "plugins" / f"{name}.py").write_text("def run():\n    return 1\n")
        (folder / "tasks.yaml").write_text(tasks)
        (folder / "env.yaml").write_text(f"scheduler: {{tasks: tasks.yaml}}\nredis: {{url: '{store.url}'}}\nweb: {{port: 0}}\n{env}")
        self.center = SchedulerCenter(folder / "env.yaml")
        self.metrics = Metrics()
        self.service = Service(self.center, roles, [OwnEvents(self.center, self.metrics)])
        self.web = WebServer(self.center, self.service, self.metrics)
        self._over = threading.Event()
        self._rounds = threading.Thread(target=self._go_round)

    def start(self) -> None:
        self.service.start()
        self._rounds.start()
        self.url = self.web.start()
        self.http = httpx.Client(base_url=self.url, trust_env=False)

    def close(self) -> None:
        self.http.close()
        self.web.stop()
        self._over.set()
        self._rounds.join()
        self.service._stop.set()
        assert self.service._end() == 0

    def get(self, path: str) -> Any:
        return self.http.get(path).json()

    def awaits(self, path: str, wanted: Callable[[httpx.Response], bool], limit_s: float = 15) -> httpx.Response:
        """The first answer that is as wanted: threads and processes of the instance need their time."""
        deadline = monotonic() + limit_s
        while not wanted(answer := self.http.get(path)):
            assert monotonic() < deadline, f"{path} stays {answer.status_code}: {answer.text}"
            self._over.wait(0.05)
        return answer

    def _go_round(self) -> None:
        while not self._over.is_set():
            self.service._round()


@pytest.fixture(scope="module")
def stores(server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Any]]:
    """Makes stores of a test's own, which it may kill."""
    made = []

    def make() -> Any:
        store = type(server)(tmp_path_factory.mktemp("s"))
        made.append(store)
        store.start()
        return store

    yield make
    for store in made:
        store.kill()


@pytest.fixture(scope="module")
def instance(stores: Callable[[], Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """One with all roles and a worker process, for tests that leave it as it was."""
    one = Instance(tmp_path_factory.mktemp("instance"), stores(), ("timer", "worker"))
    one.start()
    one.awaits("/readyz", lambda answer: answer.is_success)
    yield one
    one.close()


@pytest.fixture
def launch(stores: Callable[[], Any], tmp_path: Path) -> Iterator[Callable[..., Instance]]:
    """Starts instances of a test's own; without workers unless told."""
    made: list[Instance] = []

    def start(roles: tuple[str, ...] = ("timer",), store: Any = None, **files: str) -> Instance:
        one = Instance(tmp_path / f"i{len(made)}", store or stores(), roles, **files)
        one.start()
        made.append(one)
        return one

    yield start
    for one in reversed(made):
        one.close()
