"""The service: supervision, watchers, the end by signal, by idleness, and what it does while its store is away."""

import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scheduler.center import SchedulerCenter
from scheduler.core.events import Event
from scheduler.service import OwnEvents, Service

ROOT = Path(__file__).resolve().parents[2]
TASKS = {"hold": {"module": "simple:hold", "trigger": "none"}, "simple": {"trigger": "none"}}


class Notes:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.events = []

    def observe(self, events: Any) -> None:
        self.events += events


class Broken:
    def observe(self, _: Any) -> None:
        raise RuntimeError("no")


@pytest.fixture(autouse=True)
def handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture
def own_server(server: Any) -> Iterator[Any]:
    with tempfile.TemporaryDirectory(prefix="sc") as folder:
        own = type(server)(Path(folder))
        own.start()
        yield own
        own.kill()


def aside(body: Any) -> Any:
    """``body`` in a thread, while the service has the main one."""
    errors = []

    def run() -> None:
        try:
            body()
        except BaseException as error:
            errors.append(error)
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=run)
    thread.start()
    thread.errors = errors
    return thread


def finished(thread: Any) -> None:
    thread.join(10)
    if thread.errors:
        raise thread.errors[0]


def serve(desk: Any, center: SchedulerCenter, body: Any, roles: Any = ("timer", "worker"), watchers: Any = ()) -> Any:
    """The exit code of a service, while ``body(service)`` goes on beside it."""
    service = Service(center, roles, watchers)
    service.start()

    def once_it_listens() -> None:
        desk.until(lambda: signal.getsignal(signal.SIGINT) == signal.getsignal(signal.SIGTERM) == service._on_signal)
        body(service)

    thread = aside(once_it_listens)
    code = service.run()
    finished(thread)
    return code


def stop(number: Any = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


def test_it_serves_until_a_signal_and_tells_its_watchers(desk: Any) -> None:
    center, notes = desk.center(TASKS), Notes()

    def body(service: Any) -> None:
        center.wait(center.submit("simple"))  # the watchers tell of what happens from now on
        run = center.wait(center.submit("simple", {"x": 1}, run_id="told"))
        assert run.result == 1
        desk.until(lambda: service.workers == [run.worker])
        assert not service.stopping
        stop()

    assert serve(desk, center, body, watchers=[Broken(), notes]) == 0
    assert [event.type for event in notes.events if event.subject == "told"] == ["pending", "running", "succeeded"]
    assert not center.is_running


def test_the_first_signal_waits_the_second_does_not(desk: Any) -> None:
    center = desk.center(TASKS)

    def body(service: Any) -> None:
        run = center.submit("hold")
        desk.await_state(center, run, "running")
        stop()
        desk.until(lambda: service.stopping)
        stop()

    assert serve(desk, center, body) == 1
    assert [run.reason for run in desk.center(TASKS).queue.find(task="hold")] == ["lost"]


def test_a_round_that_fails_does_not_end_it(desk: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    center = desk.center(TASKS)

    def body(service: Any) -> None:
        desk.until(lambda: service.workers)
        step = service.supervisor.step

        def stumble() -> float:
            monkeypatch.setattr(service.supervisor, "step", step)
            raise OSError("too many open files")

        monkeypatch.setattr(service.supervisor, "step", stumble)
        desk.until(lambda: "the supervisor stumbled; it goes on" in caplog.text)
        assert center.wait(center.submit("simple", {"x": 1})).result == 1
        stop()

    assert serve(desk, center, body) == 0


def test_ctrl_c_does_not_wait_for_ever(desk: Any) -> None:
    center = desk.center(TASKS, worker={"shutdown_timeout": 600})
    service = Service(center, ("worker",))
    service._on_signal(signal.SIGINT, None)
    assert service._grace_s < 5


def test_an_instance_that_only_fires(desk: Any) -> None:
    center = desk.center({"simple": {"trigger": "interval", "args": {"seconds": 1}}})

    def body(service: Any) -> None:
        assert service.supervisor is None
        assert service.workers == []
        desk.until(lambda: any(center.queue.find(task="simple")))
        stop()

    assert serve(desk, center, body, roles=("timer",)) == 0


def test_it_ends_when_there_is_nothing_to_do(desk: Any) -> None:
    center = desk.center(TASKS, worker={"idle_timeout": "1.5s"})
    ran = []

    def body(_: Any) -> None:
        ran.append(center.wait(center.submit("simple")).state)

    assert serve(desk, center, body, roles=("worker",)) == 0
    assert ran == ["succeeded"]


def test_idle_without_a_store_it_waits_for_it(desk: Any, own_server: Any) -> None:
    desk.url = own_server.url
    center = desk.center(TASKS, worker={"idle_timeout": "1s"})
    rounds = []

    def body(service: Any) -> None:
        desk.until(lambda: service.workers)
        own_server.kill()
        deadline = service._busy_at + 2.5
        desk.until(lambda: rounds.append(1) or service.center.roles.pulse._last["supervisor"] > deadline)
        assert not service.stopping
        own_server.start()

    assert serve(desk, center, body, roles=("worker",)) == 0


def test_an_embedded_server_that_dies_is_started_again(desk: Any) -> None:
    center = desk.center(TASKS, redis={"url": "embedded"})

    def body(service: Any) -> Any:
        desk.until(lambda: service.workers)
        run = center.submit("hold")
        desk.await_state(center, run, "running")
        os.kill(center.store.server.pid, signal.SIGKILL)

        def answers() -> Any:
            try:
                return center.get_run(run)
            except Exception:
                return None

        assert desk.until(answers).state == "running"
        stop()

    assert serve(desk, center, body) == 0


def test_every_event_is_counted_by_one_instance(desk: Any) -> None:
    center, notes = desk.started(), Notes()
    own = OwnEvents(center, notes)

    def event(worker: Any) -> Any:
        return Event("1-0/0", 1, "succeeded", "r", "simple", 1, worker, "", 0.0, "")

    desk.until(lambda: center.roles.leads)
    own.observe([event(f"{center.instance}.1"), event("elsewhere.1"), event("")])
    assert [event.worker for event in notes.events] == [f"{center.instance}.1", ""]
    center.shutdown()
    own.observe([event("")])
    assert len(notes.events) == 2
