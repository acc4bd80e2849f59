"""Intake: a request for a Run, checked and completed with what its task says, becomes a Submission."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from scheduler.core.errors import ConflictError, ParamsError
from scheduler.core.ids import RUN_ID, fire_id, new_id
from scheduler.core.run import Submission
from scheduler.core.task import Schedule, Task
from scheduler.core.units import duration_ms
from scheduler.queue import RunQueue
from scheduler.settings.task import key_parts

MAX_PARAMS_BYTES = 64 * 1024
MAX_DEPTH = 32


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller asks for; None takes the task's own value."""

    task: str
    params: Mapping[str, Any] | None = None
    priority: int | None = None
    delay: float | str = 0
    at: datetime | None = None
    run_id: str | None = None
    key: str | None = None

    @classmethod
    def of(cls, request: Any) -> Self:
        """From ``("task", {params})``, a mapping with these fields, or a bare task name."""
        fields = cls.__dataclass_fields__
        if isinstance(request, str):
            return cls(request)
        if isinstance(request, Mapping) and "task" in request:
            if unknown := set(map(str, request)) - set(fields):
                raise ParamsError(f"unknown {', '.join(sorted(unknown))} in a request: allowed are {', '.join(fields)}")
            return cls(**request)
        if isinstance(request, list | tuple) and 1 <= len(request) <= len(fields):
            return cls(*request)
        raise ParamsError(
            f"{request!r} is no request: it needs a task, and may have {', '.join(list(fields)[1:])}, in this order or by name"
        )

    @property
    def given(self) -> Mapping[str, Any]:
        """The params; ParamsError for anything but a mapping of names."""
        if self.params is None:
            return {}
        if not isinstance(self.params, Mapping):
            raise ParamsError(f"params {self.params!r} must be a mapping of parameter names to values")
        if strange := [key for key in self.params if not isinstance(key, str)]:
            raise ParamsError(f"{strange[0]!r} is no name of a parameter: names are texts")
        return self.params


class Intake:
    """Submits requests. ``find_task`` raises UnknownTaskError; ``misfits(task, params)`` says what does not fit the signature."""

    def __init__(self, queue: RunQueue, find_task: Callable[[str], Task], misfits: Callable[[Task, Mapping[str, Any]], list[str]]) -> None:
        self._queue = queue
        self._find_task = find_task
        self._misfits = misfits

    def submit(self, requests: Sequence[Request]) -> list[str]:
        """All or nothing is checked before anything is stored; the ids, in order."""
        submissions = [self._checked(self._find_task(request.task), request) for request in requests]
        answers = self._queue.submit(submissions)
        return [_id_of(submission, answer) for submission, answer in zip(submissions, answers, strict=True)]

    def _checked(self, task: Task, request: Request) -> Submission:
        if wrong := self._misfits(task, {**task.params, **request.given}):
            raise ParamsError(f"task {task.name}: {'; '.join(wrong)}")
        return submission_of(task, request)


def submission_of(task: Task, request: Request) -> Submission:
    """The Submission of one request; ParamsError where it does not fit."""
    _require_sound(request)
    params = encode_params(request.given) if request.given else ""
    return Submission(
        id=request.run_id or new_id(),
        task=task.name,
        queue=task.queue,
        priority=task.priority if request.priority is None else request.priority,
        params=params,
        delay_ms=_delay_ms(request.delay) if request.delay else 0,
        due_ms=round(request.at.timestamp() * 1000) if request.at else 0,
        key=concurrency_key(task, request.given),
        idempotency=f"{_digest(request.key)} {_digest(task.name + params)}" if request.key else "",
    )


def _require_sound(request: Request) -> None:
    """Everything but the params; ParamsError names the value and what is allowed."""
    priority, run_id, key, at = request.priority, request.run_id, request.key, request.at
    if priority is not None and (isinstance(priority, bool) or not isinstance(priority, int) or not 1 <= priority <= 10):
        raise ParamsError(f"priority {priority!r}: allowed is 1 to 10, 10 first")
    if run_id is not None and not (isinstance(run_id, str) and RUN_ID.fullmatch(run_id)):
        raise ParamsError(f"run id {run_id!r}: letters, digits and _ . @ : + - only, at most 128")
    if key is not None and not isinstance(key, str):
        raise ParamsError(f"key {key!r}: an idempotency key is a text")
    if at is not None and not isinstance(at, datetime):
        raise ParamsError(f"at={at!r}: give an aware datetime")
    if at is not None and at.tzinfo is None:
        raise ParamsError(f"at={at.isoformat()} has no time zone: give an aware datetime")
    if at is not None and request.delay:
        raise ParamsError("give either delay or at, not both")


def _delay_ms(delay: float | str) -> int:
    try:
        return duration_ms(delay)
    except ValueError as error:
        raise ParamsError(f"delay: {error}") from error


def submission_of_fire(task: Task, schedule: Schedule, instant_ms: int) -> Submission:
    """The Submission of one fire; its id is the fire's identity."""
    return Submission(
        id=fire_id(schedule.name, instant_ms),
        task=task.name,
        queue=task.queue,
        priority=task.priority,
        params=encode_params(schedule.params) if schedule.params else "",
        key=concurrency_key(task, schedule.params),
    )


def encode_params(params: Mapping[str, Any]) -> str:
    """Canonical JSON text; ParamsError for what JSON cannot say, for too much and for too deep."""
    try:
        text = json.dumps(params, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise ParamsError(f"params must be JSON: {error}") from error
    if size > MAX_PARAMS_BYTES:
        raise ParamsError(f"params are {size} bytes long: at most {MAX_PARAMS_BYTES} bytes; store big data elsewhere and pass a reference")
    if _depth(params) > MAX_DEPTH:
        raise ParamsError(f"params are nested deeper than {MAX_DEPTH} levels")
    return text


def concurrency_key(task: Task, params: Mapping[str, Any]) -> str:
    """``{params.tenant}`` filled in; '' when the task has no key."""
    if not task.concurrency_key:
        return ""
    merged = {**task.params, **params}
    try:
        key = "".join(text + ("" if name is None else str(merged[name])) for text, name in key_parts(task.concurrency_key))
    except KeyError as error:
        raise ParamsError(f"concurrency_key of {task.name} needs the parameter {error}, which was not given") from error
    except ValueError as error:
        raise ParamsError(f"concurrency_key of {task.name}, {task.concurrency_key!r}, cannot be filled in: {error}") from error
    return hashlib.sha256(key.encode()).hexdigest()[:16] if len(key) > 64 or not key.isprintable() else key


def _depth(value: Any, level: int = 1) -> float:
    if level > MAX_DEPTH:
        return math.inf
    if isinstance(value, Mapping):
        return max((_depth(item, level + 1) for item in value.values()), default=level)
    if isinstance(value, list | tuple):
        return max((_depth(item, level + 1) for item in value), default=level)
    return level


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]


def _id_of(submission: Submission, answer: str) -> str:
    if answer == "conflict":
        what = "this idempotency key" if submission.idempotency else f"the id {submission.id!r}"
        raise ConflictError(f"{what} was used before for another task or other params")
    return answer.removeprefix("same ") if answer.startswith("same ") else submission.id
