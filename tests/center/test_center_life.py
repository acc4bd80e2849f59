"""start, shutdown and everything between, as a program meets it that uses the centre as a library."""

import logging
import threading
from typing import Any

import psutil
import pytest

from scheduler.core.errors import ConfigError, ConflictError, StoreError


def test_one_run_from_start_to_shutdown(desk: Any) -> None:
    center = desk.started()
    run = center.wait(center.submit("simple", {"x": {"n": 1}}))
    assert (run.state, run.result, run.attempt) == ("succeeded", {"n": 1}, 1)
    assert run.worker.startswith(center.instance)
    center.shutdown()


def test_starting_twice_only_warns(desk: Any, caplog: pytest.LogCaptureFixture) -> None:
    center = desk.started()
    roles = center.roles
    center.start()
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING][-1] == "调度器已经在运行中"
    assert center.roles is roles
    assert center.is_running


def test_shutdown_is_harmless_at_any_time(desk: Any) -> None:
    center = desk.center()
    center.shutdown()
    center.start()
    center.shutdown()
    center.shutdown()
    assert not center.is_running
    with pytest.raises(RuntimeError, match=r"调度器未运行"):
        _ = center.roles


def test_it_starts_again_after_shutdown(desk: Any) -> None:
    center = desk.started()
    first = center.submit("simple", {"x": 1})
    center.wait(first)
    center.shutdown()
    second = center.submit("simple", {"x": 2})  # before it starts: the store is opened for it
    center.start()
    assert center.wait(second).result == 2
    assert center.get_run(first).result == 1


def test_the_with_statement_shuts_down(desk: Any) -> None:
    with desk.center() as center:
        center.start()
        assert center.wait(center.submit("simple")).state == "succeeded"
    assert not center.is_running


def test_nothing_of_it_is_left_in_the_process(desk: Any, caplog: pytest.LogCaptureFixture) -> None:
    before = {thread.name for thread in threading.enumerate()}
    handlers = list(logging.getLogger().handlers)
    center = desk.started()
    center.wait(center.submit("simple"))
    center.shutdown()
    desk.until(lambda: {thread.name for thread in threading.enumerate()} <= before)
    assert logging.getLogger().handlers == handlers
    assert [record.getMessage() for record in caplog.records if "does not answer" in record.getMessage()] == []


@pytest.mark.parametrize("roles", [["timer"], ["worker"], []])
def test_roles_can_be_chosen(desk: Any, roles: Any) -> None:
    center = desk.center()
    center.start(roles)
    assert (center.roles.timer is not None, center.roles.worker is not None) == ("timer" in roles, "worker" in roles)
    assert center.get_run(center.submit("simple")).state in ("pending", "running", "succeeded")


def test_running_attempts_may_end(desk: Any) -> None:
    center = desk.started({"hold": {"module": "simple:hold", "trigger": "none"}})
    run = center.submit("hold")
    desk.await_state(center, run, "running")
    stopper = threading.Thread(target=center.shutdown)
    stopper.start()
    desk.until(lambda: not center.is_running)
    desk.module().GO.set()
    stopper.join(5)
    ended = center.get_run(run)
    assert (ended.state, ended.result) == ("succeeded", "held")


def test_what_does_not_end_in_time_goes_back(desk: Any) -> None:
    center = desk.started({"hold": {"module": "simple:hold", "trigger": "none"}}, worker={"shutdown_timeout": 0})
    run = center.submit("hold")
    desk.await_state(center, run, "running")
    center.shutdown()
    desk.module().GO.set()
    back = center.get_run(run)
    assert (back.state, back.reason, back.attempt, back.claims) == ("pending", "shutdown", 0, 1)


def test_what_listens_is_asked_and_the_rest_is_for_another(desk: Any) -> None:
    center = desk.started({"polite": {"module": "simple:polite", "trigger": "none"}})
    run = center.submit("polite")
    desk.await_state(center, run, "running")
    center.shutdown()
    assert center.get_run(run).state == "pending"


def test_running_runs_are_cancelled(desk: Any) -> None:
    center = desk.started({"polite": {"module": "simple:polite", "trigger": "none"}})
    run = center.submit("polite")
    desk.await_state(center, run, "running")
    assert center.cancel(run, "too late") is True
    assert (center.wait(run).state, center.wait(run).reason) == ("cancelled", "too late")


def test_a_failed_run_starts_over_under_its_id(desk: Any) -> None:
    center = desk.started({"boom": {"module": "simple:boom", "trigger": "none"}})
    run = center.submit("boom")
    assert center.wait(run).error["message"] == "no"
    assert center.retry(run) == run
    desk.until(lambda: center.get_run(run).claims == 2)
    assert center.wait(run).state == "failed"


def test_a_succeeded_run_is_neither_retried_nor_cancelled(desk: Any) -> None:
    center = desk.started()
    run = center.wait(center.submit("simple"))
    with pytest.raises(ConflictError, match=r"it succeeded; submit a new one"):
        center.retry(run.id)
    assert center.cancel(run.id) is False


# ── When it cannot start ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_failed_start_is_logged_raised_and_leaves_nothing(desk: Any, caplog: pytest.LogCaptureFixture) -> None:
    center = desk.center({"simple": {"trigger": "cron", "args": {"hour": 25}}}, redis={"url": "embedded"})
    with pytest.raises(ConfigError, match=r"tasks.yaml:1:.*hour"):
        center.start()
    assert "调度器启动失败" in caplog.text
    assert not center.is_running
    assert server_of(desk) is None


def test_a_store_that_is_not_there(desk: Any) -> None:
    center = desk.center(redis={"url": "unix:///nowhere/s"})
    with pytest.raises(StoreError, match=r"no such socket"):
        center.start()


# ── The embedded store ────────────────────────────────────────────────────────────────────────────────────────────────


def server_of(desk: Any) -> int | None:
    """The embedded server's process id, or None."""
    pid_file = next((desk.folder / "data").rglob("*.pid"), None)
    pid = int(pid_file.read_text()) if pid_file and pid_file.read_text().strip() else 0
    return pid if pid and psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE else None


def test_the_embedded_store_keeps_what_was_submitted(desk: Any) -> None:
    with desk.center(redis={"url": "embedded"}) as center:
        run = center.submit("simple", {"x": "kept"})
        assert center.store.server is not None
        assert server_of(desk)
    assert server_of(desk) is None
    with desk.center(redis={"url": "embedded"}) as center:
        center.start()
        assert center.wait(run).result == "kept"


def test_two_centers_share_one_embedded_store(desk: Any) -> None:
    first, second = (desk.center(redis={"url": "embedded"}) for _ in range(2))
    run = first.submit("simple", {"x": 1})
    assert second.get_run(run).params == {"x": 1}
    assert second.store.server.adopted
    first.shutdown()
    assert second.get_run(run).params == {"x": 1}
    second.shutdown()
    assert server_of(desk) is None
