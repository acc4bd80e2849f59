import logging
import re
from collections.abc import Callable
from itertools import count

import pytest

from scheduler.core.backoff import Backoff
from scheduler.core.errors import GateClosedError
from scheduler.core.outcome import OK, Error, Kind, Outcome
from scheduler.core.ports import Job
from scheduler.core.task import GpuNeed, RateLimit, Task
from scheduler.decorators.layers import GpuLayer, LogLayer
from scheduler.decorators.stack import effective_stack, layers_for

PLAIN = Task(name="noop", target="noop:run")
RICH = Task(
    name="train",
    target="train:run",
    executor="processpool",
    metric="training",
    log_runs=True,
    rate_limits=(RateLimit(5, 60_000), RateLimit(100, 3_600_000)),
    gpu=GpuNeed(12 * 1024, 20, 2),
    max_attempts=3,
    backoff=Backoff(10_000, "exponential", 2, 3_600_000, "full"),
    retry_on=("OSError",),
    give_up_on=("ValueError", "KeyError"),
    timeout_ms=300_000,
)
JOB = Job("r1", "train", "train:run", {}, 2, 7, None, None, None, False, {"LANG": "C"})


def test_the_stack_of_a_task_that_asks_for_everything() -> None:
    assert [tuple(layer) for layer in effective_stack(RICH)] == [
        ("metrics", "executions, durations and active runs as task_name=training", "event subscriber"),
        ("log", "a start and an end line with the duration, in the log of the Run", "attempt"),
        ("rate_limit", "5 per 1m, over all instances", "claim in Redis"),
        ("rate_limit", "100 per 1h, over all instances", "claim in Redis"),
        ("gpu", "2 cards, 12 GB free on each, utilisation below 20 %", "attempt"),
        (
            "retry",
            "3 attempts, exponential delay of 10s, times 2 each, at most 1h, full jitter, only on OSError, not on ValueError, KeyError",
            "decide",
        ),
        ("timeout", "5m", "slot"),
        ("run", "train:run on processpool", "slot"),
    ]


def test_the_stack_of_a_task_that_asks_for_nothing() -> None:
    assert [layer.name for layer in effective_stack(PLAIN)] == ["metrics", "run"]
    assert effective_stack(PLAIN)[0].parameters.endswith("task_name=noop")


def test_simple_policies_in_words() -> None:
    task = Task(name="a", target="a:run", max_attempts=2, backoff=Backoff(5_000, "fixed"), gpu=GpuNeed())
    words = {layer.name: layer.parameters for layer in effective_stack(task)}
    assert words["retry"] == "2 attempts, fixed delay of 5s"
    assert words["gpu"] == "1 card"


class Cards:
    """A broker with a fixed answer that keeps what it was told."""

    def __init__(self, *uuids: str) -> None:
        self.uuids, self.calls = list(uuids), []

    def reserve(self, run_id: str, need: GpuNeed) -> list[str]:
        self.calls.append(("reserve", run_id, need))
        if not self.uuids:
            raise GateClosedError("gpu_busy", 2000, "needs 12 GB on one card")
        return self.uuids

    def release(self, run_id: str) -> None:
        self.calls.append(("release", run_id))


def test_most_tasks_enter_no_layer() -> None:
    assert layers_for(PLAIN, None) == ()


def test_log_comes_before_gpu() -> None:
    assert [type(layer) for layer in layers_for(RICH, Cards())] == [LogLayer, GpuLayer]


def test_the_gpu_layer_shows_the_job_its_cards_and_gives_them_back() -> None:
    broker = Cards("GPU-a", "GPU-b")
    (layer,) = layers_for(Task(name="t", target="t:run", gpu=GpuNeed(1024, count=2)), broker)
    job = layer.enter(JOB)
    assert job.env == {"LANG": "C", "CUDA_VISIBLE_DEVICES": "GPU-a,GPU-b", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert job.fresh
    assert job._replace(env=JOB.env, fresh=False) == JOB
    layer.leave(job, Outcome(Kind.ERROR))
    assert broker.calls == [("reserve", "r1", GpuNeed(1024, count=2)), ("release", "r1")]


def test_a_closed_gpu_gate_is_raised() -> None:
    task = Task(name="t", target="t:run", gpu=GpuNeed(1024))
    (layer,) = layers_for(task, Cards())
    with pytest.raises(GateClosedError, match="needs 12 GB"):
        layer.enter(JOB)
    (layer,) = layers_for(task, None)
    with pytest.raises(GateClosedError, match="this worker serves no GPU") as closed:
        layer.enter(JOB)
    assert (closed.value.reason, closed.value.retry_after_ms) == ("gpu_busy", 30_000)


@pytest.fixture
def clocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the stop-watch shows 1.234 s more."""
    ticks = count(5, 1.234)
    monkeypatch.setattr("scheduler.decorators.layers.perf_counter", lambda: next(ticks))


@pytest.mark.usefixtures("clocked")
@pytest.mark.parametrize(
    ("outcome", "level", "line"),
    [
        (OK, "INFO", "任务 train 执行成功，耗时: 1.23秒"),
        (Outcome(Kind.ERROR, error=Error("ValueError", "no data")), "ERROR", "任务 train 执行失败，耗时: 1.23秒，错误: no data"),
        (Outcome(Kind.TIMED_OUT), "ERROR", "任务 train 执行失败，耗时: 1.23秒，错误: timed_out"),
        (Outcome(Kind.CANCELLED, reason="by ann"), "ERROR", "任务 train 执行失败，耗时: 1.23秒，错误: by ann"),
        (Outcome(Kind.GATED, reason="gpu_busy"), "INFO", "任务 train 未开始，等待: gpu_busy"),
    ],
)
def test_the_log_layer_writes_into_the_runs_log(caplog: pytest.LogCaptureFixture, outcome: Outcome, level: str, line: str) -> None:
    caplog.set_level(logging.INFO)
    opened: list[tuple[str, int]] = []
    written: list[bytes] = []

    def open_log(run: str, attempt: int) -> Callable[[bytes], None]:
        opened.append((run, attempt))
        return written.append

    (layer,) = layers_for(Task(name="train", target="t:run", log_runs=True), None, open_log)
    job = layer.enter(JOB)
    assert job is JOB
    layer.leave(job, outcome)
    assert caplog.messages == ["开始执行任务: train", line]
    assert [record.levelname for record in caplog.records] == ["INFO", level]
    assert [(record.name, record.run, record.task, record.attempt) for record in caplog.records] == [("run.train", "r1", "train", 2)] * 2
    assert opened == [("r1", 2)] * 2
    assert re.fullmatch(rf"\S+ \S+ {level} run.train: {re.escape(line)}\n", written[1].decode())


@pytest.mark.usefixtures("clocked")
def test_attempts_that_overlap_are_timed_each_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    layer = LogLayer(None)
    other = JOB._replace(run="r2")
    layer.enter(JOB)
    layer.enter(other)
    layer.leave(JOB, OK)
    layer.leave(other, OK)
    assert [message[-5:] for message in caplog.messages[2:]] == ["2.47秒", "2.47秒"]


def test_a_quiet_logger_still_writes_the_runs_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    written: list[bytes] = []
    layer = LogLayer(lambda _run, _attempt: written.append)
    layer.enter(JOB)
    assert caplog.messages == []
    assert len(written) == 1
