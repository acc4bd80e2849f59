"""``scheduler doctor``: is everything there that the centre needs, is its queue well, and what would make it better."""

import os
import resource
import shutil
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from scheduler.cli.facts import held_back, queue_facts, stats_of
from scheduler.cli.screen import Screen
from scheduler.cli.session import Session, opened
from scheduler.cli.words import translate
from scheduler.core.clock import now_ms, perf_counter
from scheduler.core.errors import StoreError
from scheduler.core.units import format_ms

if TYPE_CHECKING:
    from scheduler.center import SchedulerCenter

LOW_DISK, FULL_DISK = 2**30, 2**27  # bytes
FEW_FILES = 4096
LOCAL = ("127.0.0.1", "localhost", "::1")
NOTHING = "none"
NO_DRIVER = ("Shared Library Not Found", "Driver Not Loaded", "No module named 'pynvml'")  # of NVML: a machine without cards


class Row(NamedTuple):
    """``level``: ok, warn or fail; ``advice`` says what to do about a warning or failure; ``{program}`` in it is how we were called."""

    level: str
    check: str
    value: str
    advice: str = ""


def doctor(ctx: typer.Context) -> None:
    """Look at everything the centre needs, and give advice."""
    with opened(ctx) as (session, center):
        rows = [*_machine(session), *_plugins(center), *_store(session, center), *_gpus(center)]
    if session.as_json:
        session.out.json([row._replace(advice=_of_program(row.advice, session.program))._asdict() for row in rows])
    for row in () if session.as_json else rows:
        _tell(session.out, row)
    raise typer.Exit(any(row.level == "fail" for row in rows))


def _tell(out: Screen, row: Row) -> None:
    """In the user's language. What is not there, and not needed, is neither good nor bad."""
    value = out.tr(NOTHING) if row.value == NOTHING else out.message(row.value)
    advice = out.message(_of_program(translate(row.advice, out.lang), out.program))
    out.verdict(
        "none" if row.level == "ok" and row.value == NOTHING else row.level,
        out.tr("{check}: {value}", check=out.tr(row.check), value=value),
        advice,
    )


def _of_program(advice: str, program: str) -> str:
    return advice.replace("{program}", program)  # not format(): the cure of a finding may hold braces of its own


def _row(good: bool, check: str, value: object, advice: str) -> Row:
    return Row("ok", check, str(value)) if good else Row("warn", check, str(value), advice)


def _machine(session: Session) -> Iterator[Row]:
    settings = session.settings
    for check, folder in (("disk of redis.data_dir", settings.redis.data_dir), ("disk of logging.dir", settings.logging.dir)):
        there = next(path for path in (folder, *folder.parents) if path.exists())
        if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
            yield Row("fail", check, f"{there} cannot be written", "name a folder of your own")
            continue
        free = shutil.disk_usage(there).free
        row = _row(free >= LOW_DISK, check, f"{free / 2**30:.1f} GiB", "free space there")
        yield row if free >= FULL_DISK else row._replace(level="fail")
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    yield _row(files >= FEW_FILES, "open files", files, "raise it: ulimit -n 65536, or LimitNOFILE= in the unit")
    yield _row(settings.web.host in LOCAL, "web.host", settings.web.host, "put a proxy with TLS in front of it")


def _plugins(center: "SchedulerCenter") -> Iterator[Row]:
    from scheduler.plugins.folder import PluginFolder

    folder, catalogue = PluginFolder(center.settings.plugins), center.catalogue
    there = folder.path.is_dir()
    yield _row(
        there,
        "plugin folder",
        f"{folder.path}: {_counted(len(folder.names()), 'module')}",
        "it does not exist: {program} new plugin NAME makes it",
    )
    yield Row("ok", "tasks", str(len(catalogue.tasks)))
    yield from (Row("fail", "task", f"{name}: {reason}") for name, reason in catalogue.broken.items())
    yield from (Row("warn", "configuration", warning) for warning in catalogue.warnings)


def _store(session: Session, center: "SchedulerCenter") -> Iterator[Row]:
    from scheduler.store.binary import find_server

    try:
        yield Row("ok", "embedded server", str(find_server()))
    except StoreError as error:
        yield Row("warn", "embedded server", str(error))
    try:
        client, findings = center.store.client, center.store.findings
    except StoreError as error:
        yield Row("fail", "store", str(error))
        return
    started = perf_counter()
    seconds, micros = client.time()
    latency_ms, skew_ms = (perf_counter() - started) * 1000, abs(seconds * 1000 + micros // 1000 - now_ms())
    info = client.info()
    yield Row("ok", "store", f"{_server(info)}, {info['used_memory'] / 10**6:.2f} MB used, answered in {latency_ms:.1f} ms")
    yield Row("ok", "clock", f"off by {format_ms(skew_ms) if skew_ms else 'less than 1 ms'}")
    yield from (Row("warn", finding.setting, f"{finding.value} (wanted: {finding.wanted})", finding.cure) for finding in findings)
    yield from _queue(session, center)


def _queue(session: Session, center: "SchedulerCenter") -> Iterator[Row]:
    stats = stats_of(center)
    queues = queue_facts(session, center, stats).values()
    waiting, bound = sum(queue["waiting"] for queue in queues), session.settings.monitoring.alert_thresholds.queue_size
    yield _row(waiting <= bound, "waiting Runs", waiting, "raise worker.processes, or start more instances")
    yield _row(bool(stats.workers) or not waiting, "workers", len(stats.workers), "start one: {program} serve")
    yield from (Row("warn", "paused queue", queue["name"], "{program} queues resume NAME") for queue in queues if queue["paused"])
    closed = ((lane, session.out.word(lane["reason"]) if not session.as_json else lane["reason"]) for lane in held_back(session, stats))
    yield from (Row("warn", "held back", f"{lane['lane']}: {reason} ({lane['waiting']})") for lane, reason in closed)
    yield _row(not stats.dead, "dead letters", stats.dead, "look: {program} dead list; then {program} dead retry or purge")


def _gpus(center: "SchedulerCenter") -> Iterator[Row]:
    from scheduler.gpu import NvmlInventory

    inventory = NvmlInventory()
    cards = inventory.cards()
    needing = [name for name, task in center.catalogue.tasks.items() if task.gpu]
    yield from (Row("ok", "GPU", f"{card.number} {card.name}: {card.free_mb} / {card.total_mb} MiB") for card in cards)
    no_driver = any(sign in inventory.trouble for sign in NO_DRIVER)
    if needing and not cards:
        yield Row("fail", "GPU", f"{inventory.trouble or NOTHING}; needed by {', '.join(needing)}")
    elif inventory.trouble and not no_driver:
        yield Row("warn", "GPU", inventory.trouble)
    elif not cards:
        yield Row("ok", "GPU", NOTHING)


def _server(info: Mapping[str, Any]) -> str:
    """Valkey gives a Redis version, too: the one it is compatible with."""
    return f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {info['redis_version']}"


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"
