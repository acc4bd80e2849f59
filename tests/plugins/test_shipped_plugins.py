"""The plugins that come with the product, run for real: each in a folder of its own, the API against an HTTP server."""

import json
import os
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest
import yaml

from scheduler.core.errors import FatalError, RetryableError
from scheduler.plugins.params import check_params
from scheduler.plugins.probe import probe

ROOT = Path(__file__).resolve().parents[2]
DAY_S = 86_400
NOW_S = 1_780_000_000


class Api(ThreadingHTTPServer):
    """Orders by ``limit`` and ``offset``; ``answer`` may be replaced by (status, body)."""

    answer: tuple[int, bytes] | None = None
    ignores_offset = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.items: list[Any] = [{"id": number, "name": f" order {number} ", "amount": number} for number in range(1, 26)]
        self.asked: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/orders?kind=new"

    def page(self, query: dict[str, str]) -> tuple[int, bytes]:
        self.asked.append(query)
        start = 0 if self.ignores_offset else int(query["offset"])
        page = self.items[start : start + int(query["limit"])]
        return self.answer or (200, json.dumps({"data": page, "total": len(self.items)}).encode())


class Handler(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        status, body = self.server.page(query)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "sync.db"


def rows(database: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


Shipped = Callable[[str], Callable[..., Any]]


# data_sync


def test_data_sync_works_out_of_the_box(shipped: Shipped, database: Path) -> None:
    assert shipped("data_sync")(database=str(database)) == {"processed_count": 60, "skipped_count": 0, "source": "api", "batch_size": 100}
    assert rows(database, "SELECT count(*), count(DISTINCT name) > 5, min(created_at) FROM records") == [
        (60, 1, "2026-06-01T09:07:00+08:00")
    ]


def test_data_sync_pages_through_an_api_and_reports(shipped: Shipped, api: Api, database: Path, attempt: Any) -> None:
    with attempt.inside():
        result = shipped("data_sync")(origin=api.url, batch_size=10, database=str(database))
    assert result["processed_count"] == 25
    assert [(query["kind"], query["limit"], query["offset"]) for query in api.asked] == [
        ("new", "10", offset) for offset in ("0", "10", "20", "25")
    ]
    assert attempt.reports == [(40, "10 records"), (80, "20 records"), (100, "25 records")]
    assert rows(database, "SELECT id, name, amount FROM records ORDER BY amount LIMIT 1") == [("1", "order 1", 1.0)]


def test_data_sync_twice_changes_nothing_and_counts_both(shipped: Shipped, api: Api, database: Path) -> None:
    for _ in range(2):
        shipped("data_sync")(origin=api.url, database=str(database))
    assert rows(database, "SELECT count(*) FROM records") == [(25,)]
    ((key, value),) = rows(database, "SELECT key, value FROM stats")
    assert (key, json.loads(value)["total_processed"]) == ("data_sync:stats", 50)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE stats SET expires_at = 1")
    shipped("data_sync")(origin=api.url, database=str(database))
    assert json.loads(rows(database, "SELECT value FROM stats")[0][0])["total_processed"] == 25


def test_data_sync_logs_bad_items_and_goes_on(shipped: Shipped, api: Api, database: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad = [{"name": "no id"}, {"id": 1}, {"id": 2, "name": None}, {"id": 3, "name": "x", "amount": "much"}, {"id": [], "name": "x"}, "text"]
    bad += [{"id": None, "name": "x"}]
    api.items[5:5] = bad
    result = shipped("data_sync")(origin=api.url, batch_size=4, database=str(database))
    assert (result["processed_count"], result["skipped_count"]) == (25, len(bad))
    assert caplog.text.count("处理数据项失败") == len(bad)


def test_data_sync_stops_after_the_page_when_asked(shipped: Shipped, api: Api, database: Path, attempt: Any) -> None:
    with attempt.stop_after(2).inside():
        result = shipped("data_sync")(origin=api.url, batch_size=10, database=str(database))
    assert result["processed_count"] == 20
    assert rows(database, "SELECT count(*) FROM records") == [(20,)]


def test_data_sync_is_not_caught_by_an_api_without_pages(shipped: Shipped, api: Api, database: Path) -> None:
    api.ignores_offset = True
    assert shipped("data_sync")(origin=api.url, batch_size=10, database=str(database))["processed_count"] == 10
    api.answer = (200, json.dumps([{"id": "only", "name": "a list"}]).encode())
    assert shipped("data_sync")(origin=api.url.partition("?")[0], database=str(database))["processed_count"] == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [((500, b""), RetryableError), ((429, b""), RetryableError), ((404, b""), FatalError), ((200, b"<html>"), FatalError)],
    ids=["500", "429", "404", "no JSON"],
)
def test_data_sync_knows_which_errors_are_final(
    shipped: Shipped, api: Api, database: Path, answer: tuple[int, bytes], error: type[Exception]
) -> None:
    api.answer = answer
    with pytest.raises(error, match=r"http://127\.0\.0\.1"):
        shipped("data_sync")(origin=api.url, database=str(database))


def test_data_sync_retries_a_dead_server_and_refuses_what_is_no_url(shipped: Shipped, database: Path) -> None:
    with socket.socket() as bound:  # bound, but nobody listens
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(RetryableError, match="cannot be reached"):
            shipped("data_sync")(origin=f"http://127.0.0.1:{bound.getsockname()[1]}", database=str(database))
    with pytest.raises(FatalError, match=r"ftp://example\.org is no http"):
        shipped("data_sync")(origin="ftp://example.org", database=str(database))


@pytest.mark.parametrize("named", [str, Path.as_uri], ids=["path", "URL"])
@pytest.mark.parametrize("wrapped", [False, True], ids=["list", "data"])
def test_data_sync_reads_a_json_file_in_pages(
    shipped: Shipped, database: Path, tmp_path: Path, attempt: Any, named: Callable[[Path], str], wrapped: bool
) -> None:
    items = [{"id": number, "name": f" order {number} ", "amount": number} for number in range(1, 6)] + [{"id": 6}]
    origin = tmp_path / "订单 1.json"
    origin.write_text(json.dumps({"data": items} if wrapped else items), encoding="utf-8")
    with attempt.inside():
        result = shipped("data_sync")(origin=named(origin), batch_size=4, database=str(database))
    assert (result["processed_count"], result["skipped_count"]) == (5, 1)
    assert [message for _, message in attempt.reports] == ["4 records", "6 records"]
    assert rows(database, "SELECT name, amount FROM records ORDER BY id LIMIT 1") == [("order 1", 1.0)]


def test_data_sync_knows_a_file_that_will_not_do(shipped: Shipped, database: Path, tmp_path: Path) -> None:
    (tmp_path / "text.json").write_text("no JSON")
    for name, problem in {"none.json": "cannot be reached: .*No such file", "text.json": "does not answer with JSON"}.items():
        with pytest.raises(FatalError, match=problem):
            shipped("data_sync")(origin=str(tmp_path / name), database=str(database))


def test_data_sync_reads_a_database_in_pages(shipped: Shipped, database: Path, tmp_path: Path) -> None:
    origin = tmp_path / "origin.db"
    with closing(sqlite3.connect(origin)) as connection, connection:
        connection.execute("CREATE TABLE records (id, name, amount, timestamp)")
        connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?)", [(n, f"n{n}", None, "2026-01-01") for n in range(7)])
    result = shipped("data_sync")(source="database", origin=str(origin), batch_size=3, database=str(database))
    assert result == {"processed_count": 7, "skipped_count": 0, "source": "database", "batch_size": 3}
    assert rows(database, "SELECT count(*), sum(amount), max(created_at) FROM records") == [(7, 0.0, "2026-01-01")]
    with pytest.raises(FatalError, match="origin: nothing is no SQLite file"):
        shipped("data_sync")(source="database", database=str(database))


@pytest.mark.parametrize("target", ["data_sync", "data_sync:DataSyncTask"])
@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"source": "ftp"}, "source参数必须是'api'或'database'"),
        ({"batch_size": 0}, "batch_size必须是正整数"),
        ({"batch_size": "5"}, "batch_size必须是正整数"),
        ({"batch_size": True}, "batch_size必须是正整数"),
    ],
)
def test_data_sync_refuses_wrong_params(shipped: Shipped, target: str, params: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        shipped(target)(**params)


def test_data_sync_works_as_a_class_with_hooks(shipped: Shipped, database: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert shipped("data_sync:DataSyncTask")(database=str(database))["processed_count"] == 60
    assert "任务 DataSyncTask 执行成功" in caplog.text
    with pytest.raises(FatalError):
        shipped("data_sync:DataSyncTask")(origin="none.json", database=str(database))
    assert "任务 DataSyncTask 执行失败" in caplog.text


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_data_sync_as_it_is_shipped_shows_its_hooks(name: str) -> None:
    tasks = yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text(encoding="utf-8"))["tasks"]
    assert tasks["data_sync"]["module"] == "data_sync:DataSyncTask"


# daily_report


def test_daily_report_is_one_self_contained_page(
    shipped: Shipped, database: Path, tmp_path: Path, attempt_at: Callable[[int], Any]
) -> None:
    shipped("data_sync")(database=str(database))
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO records VALUES ('x', '<script>alert(1)</script>', 99999, NULL, '')")
    with attempt_at(NOW_S * 1000).inside():
        result = shipped("daily_report")(database=str(database), out_dir=str(tmp_path / "reports"), top=3)
    page = Path(result["path"])
    text = page.read_text(encoding="utf-8")
    assert page.name in {"daily_report-2026-05-28.html", "daily_report-2026-05-29.html"}, "the local day of the scheduled instant"
    assert result["records"] == 61
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script" not in text
    assert "http" not in text
    assert text.count("<tr>") == 1 + 3
    assert list(page.parent.iterdir()) == [page], "no temporary file is left"
    assert page.stat().st_mode & 0o777 == 0o644


def test_daily_report_without_data_is_empty_and_creates_no_database(shipped: Shipped, database: Path, tmp_path: Path, attempt: Any) -> None:
    with attempt.inside():  # a Run somebody submitted: it has no scheduled instant
        result = shipped("daily_report")(database=str(database), out_dir=str(tmp_path), prefix="preview")
    assert (result["records"], result["amount"]) == (0, 0)
    assert Path(result["path"]).name.startswith("preview-20")
    assert not database.exists()


def test_daily_report_that_fails_leaves_the_old_one(shipped: Shipped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = shipped("daily_report")(database=str(tmp_path / "none.db"), out_dir=str(tmp_path))
    before = Path(first["path"]).read_text(encoding="utf-8")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        shipped("daily_report")(database=str(tmp_path / "none.db"), out_dir=str(tmp_path))
    assert [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()] == [before]


# system_cleanup


def aged(path: Path, days: float, size: int = 10) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    then = time.time_ns() - int(days * DAY_S * 10**9)
    os.utime(path, ns=(then, then))
    return path


def test_cleanup_only_says_what_it_would_do(shipped: Shipped, tmp_path: Path) -> None:
    old, new = aged(tmp_path / "logs" / "old.log", 31), aged(tmp_path / "logs" / "new.log", 29)
    result = shipped("system_cleanup")(roots=[str(tmp_path / "logs"), str(tmp_path / "missing")])
    assert result == {"dry_run": True, "files": 1, "freed_mb": 0.0, "deleted": [str(old)]}
    assert (old.exists(), new.exists()) == (True, True)


def test_cleanup_deletes_by_age_and_pattern(shipped: Shipped, tmp_path: Path) -> None:
    old, deep = aged(tmp_path / "logs" / "old.log.1", 31), aged(tmp_path / "logs" / "a" / "b" / "old.log", 31)
    kept = [aged(tmp_path / "logs" / "new.log", 1), aged(tmp_path / "logs" / "keep.db", 99), aged(tmp_path / "else" / "old.log", 99)]
    result = shipped("system_cleanup")(roots=[str(tmp_path / "logs")], dry_run=False)
    assert result["deleted"] == sorted([str(old), str(deep)])
    assert [path.exists() for path in (old, deep, *kept)] == [False, False, True, True, True]


def test_cleanup_deletes_the_oldest_until_the_rest_fits(shipped: Shipped, tmp_path: Path) -> None:
    files = [aged(tmp_path / "logs" / f"{days}.log", days, size=1 << 20) for days in (4, 3, 2, 1)]
    result = shipped("system_cleanup")(roots=[str(tmp_path / "logs")], max_total_mb=2, dry_run=False)
    assert (result["files"], result["freed_mb"]) == (2, 2.0)
    assert [path.exists() for path in files] == [False, False, True, True]


def test_cleanup_follows_no_link(shipped: Shipped, tmp_path: Path) -> None:
    outside = aged(tmp_path / "outside" / "old.log", 99)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "link.log").symlink_to(outside)
    (tmp_path / "logs" / "folder").symlink_to(outside.parent)
    result = shipped("system_cleanup")(roots=[str(tmp_path / "logs")], dry_run=False)
    assert (result["files"], outside.exists()) == (0, True)


def test_cleanup_survives_a_folder_that_becomes_a_link(shipped: Shipped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped("system_cleanup")
    plugin = sys.modules["system_cleanup"]
    outside = aged(tmp_path / "outside" / "old.log", 99)
    victim = aged(tmp_path / "logs" / "folder" / "old.log", 99)
    choose = plugin.choose

    def swap_then_choose(*args: Any) -> Any:
        victim.unlink()
        victim.parent.rmdir()
        victim.parent.symlink_to(outside.parent)
        return choose(*args)

    monkeypatch.setattr(plugin, "choose", swap_then_choose)
    assert plugin.run(roots=[str(tmp_path / "logs")], dry_run=False)["files"] == 0
    assert outside.exists()


@pytest.mark.parametrize("root", ["/", "~", str(ROOT), str(ROOT.parent)])
def test_cleanup_refuses_roots_that_are_too_much(shipped: Shipped, root: str) -> None:
    with pytest.raises(ValueError, match=r"roots: .* is too much to clean"):
        shipped("system_cleanup")(roots=[str(Path(root).expanduser())])


def test_cleanup_stops_when_asked_and_says_what_is_done(shipped: Shipped, tmp_path: Path, attempt: Any) -> None:
    file = aged(tmp_path / "logs" / "old.log", 99)
    attempt.stop.set()
    with attempt.inside():
        assert shipped("system_cleanup")(roots=[str(tmp_path / "logs")], dry_run=False)["files"] == 0
    assert file.exists()


def test_cleanup_goes_on_past_a_file_that_cannot_be_deleted(shipped: Shipped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stays, goes = aged(tmp_path / "logs" / "a.log", 99), aged(tmp_path / "logs" / "b.log", 99)
    unlink = os.unlink

    def busy(name: str, **kwargs: Any) -> None:
        if name == "a.log":
            raise PermissionError(name)
        unlink(name, **kwargs)

    monkeypatch.setattr(os, "unlink", busy)
    assert shipped("system_cleanup")(roots=[str(tmp_path / "logs")], dry_run=False)["deleted"] == [str(goes)]
    monkeypatch.undo()
    assert stays.exists()


# one_time_migration


def test_migration_is_done_once(shipped: Shipped, database: Path, attempt: Any) -> None:
    with attempt.inside():
        first = shipped("one_time_migration")(database=str(database))
    assert first == {"from": 0, "to": 3, "applied": ["table records", "index of records by name", "column records.note"]}
    assert attempt.reports[-1] == (100, "column records.note")
    assert shipped("one_time_migration")(database=str(database)) == {"from": 3, "to": 3, "applied": []}
    assert [version for (version,) in rows(database, "SELECT version FROM schema_version")] == [1, 2, 3]


def test_migration_and_sync_agree_in_either_order(shipped: Shipped, tmp_path: Path) -> None:
    for name, order in {"a.db": ["data_sync", "one_time_migration"], "b.db": ["one_time_migration", "data_sync"]}.items():
        for plugin in [*order, *order]:
            shipped(plugin)(database=str(tmp_path / name))
        assert rows(tmp_path / name, "SELECT count(*), max(note) FROM records") == [(60, "")]


def test_migration_goes_step_by_step_and_a_failed_step_leaves_no_trace(
    shipped: Shipped, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shipped("one_time_migration")
    assert run(database=str(database), target=1) == {"from": 0, "to": 1, "applied": ["table records"]}
    plugin = sys.modules["one_time_migration"]
    monkeypatch.setattr(plugin, "STEPS", [plugin.STEPS[0], ("broken", "CREATE TABLE other AS SELECT * FROM nowhere")])
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        run(database=str(database))
    assert rows(database, "SELECT max(version) FROM schema_version") == [(1,)]


def test_migration_twice_at_once_applies_each_step_once(shipped: Shipped, database: Path) -> None:
    run, results = shipped("one_time_migration"), []
    threads = [threading.Thread(target=lambda: results.append(run(database=str(database)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(name for result in results for name in result["applied"]) == sorted(
        ["table records", "index of records by name", "column records.note"]
    )


def test_migration_refuses_versions_it_does_not_know(shipped: Shipped, database: Path) -> None:
    with pytest.raises(FatalError, match="target: 9 is no version; allowed are 0 to 3"):
        shipped("one_time_migration")(database=str(database), target=9)
    shipped("one_time_migration")(database=str(database))
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO schema_version VALUES (9, '', '')")
    with pytest.raises(FatalError, match="it is older than the database"):
        shipped("one_time_migration")(database=str(database))


# health_check


def test_health_check_measures_this_machine(shipped: Shipped, tmp_path: Path) -> None:
    found = shipped("health_check")(paths=[str(tmp_path), "/no/such/disk"])
    assert json.loads(json.dumps(found)) == found
    assert (found["cpu"]["cores"], [disk["path"] for disk in found["disks"]]) == (os.cpu_count(), [str(tmp_path)])
    assert 0 < found["memory"]["available_mb"] <= found["memory"]["total_mb"]
    assert shipped("health_check")()["disks"]


def test_health_check_names_what_is_over_its_limit(shipped: Shipped, tmp_path: Path) -> None:
    limits = {"max_memory_percent": 0, "max_disk_percent": 0, "max_cpu_percent": 101, "max_gpu_celsius": 1000}
    found = shipped("health_check")(**limits, paths=[str(tmp_path)])
    assert found["healthy"] is False
    assert [problem.partition(" is at ")[0] for problem in found["problems"]] == ["memory", f"disk {tmp_path}"]
    with pytest.raises(RuntimeError, match=r"memory is at .*the limit is 0%"):
        shipped("health_check")(**limits, paths=[str(tmp_path)], fail_when_unhealthy=True)


def test_health_check_leaves_out_what_nobody_can_write(shipped: Shipped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [("/dev/loop1", "/", "squashfs", "ro,nodev"), ("/dev/sda1", str(tmp_path), "ext4", "rw,errors=remount-ro")]
    monkeypatch.setattr(psutil, "disk_partitions", lambda: [SimpleNamespace(mountpoint=path, opts=opts) for _, path, _, opts in parts])
    assert [disk["path"] for disk in shipped("health_check")()["disks"]] == [str(tmp_path)]


class Nvml:
    """Two cards, the second of which has fallen off the bus."""

    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        """Of the library."""

    def __init__(self, *, driver: bool = True) -> None:
        self.driver = driver

    def nvmlInit(self) -> None:  # noqa: N802  # the library's own names
        if not self.driver:
            raise self.NVMLError("no driver")

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802  # the same
        return 2

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:  # noqa: N802  # the same
        if number:
            raise self.NVMLError("GPU is lost")
        return number

    def nvmlDeviceGetName(self, _: int) -> str:  # noqa: N802  # the same
        return "H100"

    def nvmlDeviceGetTemperature(self, _: int, kind: int) -> int:  # noqa: N802  # the same
        return 91 + kind

    def nvmlShutdown(self) -> None:  # noqa: N802  # the same
        """Nothing to do."""


def test_health_check_of_gpus(shipped: Shipped, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml())
    found = shipped("health_check")(max_disk_percent=101)
    assert found["gpus"] == [{"number": 0, "name": "H100", "celsius": 91}]
    assert "GPU 0 is at 91 °C, the limit is 90 °C" in found["problems"]
    assert "GPU 1 cannot be measured: GPU is lost" in caplog.text


@pytest.mark.parametrize("library", [None, Nvml(driver=False)], ids=["no library", "no driver"])
def test_health_check_without_gpus(library: Nvml | None, shipped: Shipped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", library)
    assert shipped("health_check")()["gpus"] == []


# enhanced_task


def test_enhanced_task_tells_what_changed(shipped: Shipped, tmp_path: Path, attempt: Any) -> None:
    folder, state = tmp_path / "folder", tmp_path / "state" / "inventory.json"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / name).write_text(name)
    run = shipped("enhanced_task")
    with attempt.inside():
        first = run(folder=str(folder), state=str(state))
    assert attempt.reports == [(50, "a"), (100, "b")]
    assert (first["processed_records"], first["status"], first["added"]) == (2, "success", ["a", "b"])
    (folder / "a").write_text("changed")
    (folder / "b").unlink()
    (folder / "c").write_text("c")
    second = run(folder=str(folder), state=str(state))
    assert [second[key] for key in ("added", "changed", "removed")] == [["c"], ["a"], ["b"]]
    state.write_text("{")
    assert run(folder=str(folder), state=str(state))["added"] == ["a", "c"]
    assert [path.name for path in state.parent.iterdir()] == ["inventory.json"]


def test_enhanced_task_that_is_stopped_writes_no_half_inventory(shipped: Shipped, tmp_path: Path, attempt: Any) -> None:
    (tmp_path / "a").write_text("a")
    attempt.stop.set()
    with attempt.inside(), pytest.raises(InterruptedError, match="stopped after 0 of 1 files"):
        shipped("enhanced_task")(folder=str(tmp_path), state=str(tmp_path / "state.json"))
    assert not (tmp_path / "state.json").exists()


def test_enhanced_task_works_without_the_centre_too(shipped: Shipped, tmp_path: Path) -> None:
    shipped("enhanced_task")
    assert sys.modules["enhanced_task"].run(folder=str(tmp_path), state=str(tmp_path / "s.json"))["status"] == "success"


# all of them, and their configuration


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_the_shipped_schedules_fit_the_shipped_plugins(name: str) -> None:
    text = (ROOT / "config" / f"{name}.yaml").read_text(encoding="utf-8")
    tasks = yaml.safe_load(text)["tasks"]
    found = probe({task: options.get("module", task) for task, options in tasks.items()}, ROOT / "plugins", allow_writable=True)
    assert text.startswith("# yaml-language-server: $schema=./tasks.schema.json\n")
    assert {task: (probe.error, probe.warnings) for task, probe in found.items() if not probe.ok or probe.warnings} == {}
    assert {task: problems for task in tasks if (problems := check_params(found[task], tasks[task].get("params", {})))} == {}
    assert set(tasks) >= {"data_sync", "daily_report", "system_cleanup", "health_check", "one_time_migration", "enhanced_task"}


def test_the_sample_schedules_of_old_are_kept() -> None:
    tasks = yaml.safe_load((ROOT / "config" / "prod.yaml").read_text(encoding="utf-8"))["tasks"]

    def picked(task: str) -> list[Any]:
        return [tasks[task].get(key) for key in ("args", "max_attempts", "retry_delay", "executor")]

    assert picked("data_sync") == [{"minutes": 30}, 3, 10, "default"]
    assert picked("daily_report") == [{"hour": 9, "minute": 0, "day_of_week": "mon-fri"}, 5, 30, "processpool"]
    assert picked("system_cleanup")[:3] == [{"hour": 2, "minute": 0}, 2, 60]
    assert picked("health_check")[:3] == [{"seconds": 30}, 1, 0]


def test_shipped_plugins_are_short(shipped: Shipped) -> None:
    assert {
        path.name: count for path in (ROOT / "plugins").glob("*.py") if (count := len(path.read_text(encoding="utf-8").splitlines())) > 150
    } == {}
