import os
import re
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from shutil import which
from typing import Any

import psutil
import pytest

from scheduler.plugins import probe as probing
from scheduler.plugins.probe import Parameter, Probe, probe

PID_AS_DOC = "import os\ndef run(): ...\nrun.__doc__ = str(os.getpid())"

HOSTILE = {
    "loops": ("x = 1\nwhile True:\n    x += 1", r"plugins/bad\.py:[23]: takes longer than 0\.5 s while being imported"),
    "loops in a helper": ("def spin():\n    while True: pass\nspin()", r"plugins/bad\.py:2: takes longer than 0\.5 s"),
    "waits without the GIL": ("import threading\nthreading.Event().wait()", r"plugins/bad\.py:2: takes longer than 0\.5 s"),
    "asks at the terminal": ("name = input()\ndef run(): ...", r"plugins/bad\.py:1: EOFError"),
    "sys.exit": ("import sys\nsys.exit(3)", r"plugins/bad\.py:2: calls sys\.exit\(3\) while being imported"),
    "os._exit": ("import os\nos._exit(0)", r"plugins/bad\.py: ends its process with exit code 0 while being imported"),
    "segfault": ("import ctypes\nctypes.string_at(0)", r"plugins/bad\.py:2: dies of SIGSEGV while being imported"),
    "abort": ("import os\nos.abort()", r"plugins/bad\.py:2: dies of SIGABRT while being imported"),
    "kills itself": ("import os\nos.kill(os.getpid(), 9)", r"plugins/bad\.py: dies of SIGKILL while being imported"),
    "dies of a nameless signal": ("import os\nos.kill(os.getpid(), 40)", r"plugins/bad\.py: dies of signal 40 while being imported"),
    "interrupts": ("raise KeyboardInterrupt('ha')", r"bad:run: KeyboardInterrupt: ha \(while being imported\)"),
    "raises": ("def f():\n    return 1 / 0\nf()", r"plugins/bad\.py:2: ZeroDivisionError: division by zero \(while being imported\)"),
    "recursion": ("def f():\n    f()\nf()", r"plugins/bad\.py:2: RecursionError"),
    "syntax error": ("def run():\n    return (", r"plugins/bad\.py:2: SyntaxError: '\(' was never closed"),
    "no dependency": ("import no_such_library", r"plugins/bad\.py:1: No module named 'no_such_library'; install it where the centre runs"),
    "no run": ("def main(): ...", r"任务模块 bad 没有 'run' 函数: define run\(\) in plugins/bad\.py, or .*module: bad:main"),
    "a typo of run": ("def rum(): ...", r"任务模块 bad 没有 'run' 函数: .* did you mean 'rum'\?"),
    "run is no function": ("run = 42", r"plugins/bad\.py: run is int, not a function or a subclass of scheduler\.BaseTask"),
    "run is a generator": ("def run():\n    yield 1", r"plugins/bad\.py: run is a generator: its body would never run"),
    "run is a foreign class": ("class run: ...", r"plugins/bad\.py: run is a class, but not a subclass of scheduler\.BaseTask"),
    "run is abstract": (
        "from scheduler import BaseTask\nclass run(BaseTask): ...",
        r"plugins/bad\.py: run does not implement execute\(\)",
    ),
}

SIDE_EFFECTS = {
    "threads": ("import threading\nthreading.Thread(target=threading.Event().wait, name='poller').start()", "starts threads.*poller"),
    "signals": ("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)", r"changes signal handlers at import \(SIGTERM\)"),
    "alarm": ("import signal\nsignal.setitimer(signal.ITIMER_REAL, 60)", "sets an alarm"),
    "folder": ("import os\nos.chdir('/')", r"changes the working directory at import \(/\)"),
    "fork": ("import os\nif os.fork() == 0:\n    while True: pass", "leaves child processes"),
    "fork that goes on": ("import os\nos.fork()", "leaves child processes"),
    "subprocess": ("import subprocess\nsubprocess.Popen(['sleep', '60'])", "leaves child processes"),
}


def probe_between_good_ones(plugins: Any, source: str, timeout_s: float = 0.5) -> Probe:
    """The probe of ``bad``, whose neighbours on both sides must not suffer."""
    plugins.write("before.py")
    plugins.write("bad.py", source)
    plugins.write("later.py")
    found = probe({name: name for name in ("before", "bad", "later")}, plugins.path, timeout_s=timeout_s)
    assert list(found) == ["before", "bad", "later"]
    assert [found["before"].ok, found["later"].ok] == [True, True]
    return found["bad"]


def gone(pid: int) -> bool:
    """Whether a process that is not our child has ended; its death by SIGKILL is not instant."""
    deadline = time.monotonic() + 10  # noqa: TID251 -- a foreign process is awaited
    while time.monotonic() < deadline:  # noqa: TID251 -- as above
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
    return False


@pytest.mark.parametrize(("source", "error"), HOSTILE.values(), ids=HOSTILE)
def test_a_broken_plugin_breaks_only_itself(plugins: Any, source: str, error: str) -> None:
    bad = probe_between_good_ones(plugins, source)
    assert not bad.ok
    assert re.match(error, bad.error), bad.error
    assert bad.version


@pytest.mark.parametrize(("source", "warning"), SIDE_EFFECTS.values(), ids=SIDE_EFFECTS)
def test_side_effects_are_named_and_do_not_reach_the_next_plugin(plugins: Any, source: str, warning: str) -> None:
    bad = probe_between_good_ones(plugins, f"{source}\ndef run(): ...", timeout_s=10)
    assert bad.ok, bad.error
    assert len(bad.warnings) == 1
    assert re.search(warning, bad.warnings[0]), bad.warnings


def test_places_are_found_in_folders_of_any_name(plugins: Any) -> None:
    folder = plugins.path.rename(plugins.path.with_name("插件 é"))
    (folder / "数据.py").write_text("while True: pass", encoding="utf-8")
    assert probe({"t": "数据"}, folder, timeout_s=0.3)["t"].error.endswith("数据.py:1: takes longer than 0.3 s while being imported")


def test_prints_go_nowhere(plugins: Any) -> None:
    flood = "import os, sys\nfor fd in (1, 2):\n    for _ in range(100): os.write(fd, b'x' * 1_000_000)\nprint('{}')\ndef run(): ..."
    assert probe_between_good_ones(plugins, flood, timeout_s=10).ok


@pytest.mark.parametrize(
    "source",
    [
        "import os, threading\nos.closerange(3, 64)\nthreading.Event().wait()",
        "import os\nfor fd in range(3, 64):\n  try: os.write(fd, b'junk\\n')\n  except OSError: pass\ndef run(): ...",
        "import os\nfor fd in range(3, 64):\n  try: os.write(fd, b'x' * 3_000_000)\n  except OSError: pass\ndef run(): ...",
        "import os\nfor fd in range(3, 64):\n  try: os.write(fd, b'42\\n')\n  except OSError: pass\ndef run(): ...",
        "import os\nfor fd in range(3, 64):\n  try: os.write(fd, b'{}\\n')\n  except OSError: pass\ndef run(): ...",
    ],
    ids=["closes", "writes junk", "floods", "writes JSON", "writes a record of its own"],
)
def test_tampering_with_the_pipe_breaks_only_the_tamperer(plugins: Any, source: str) -> None:
    bad = probe_between_good_ones(plugins, source, timeout_s=2)
    assert not bad.ok
    assert bad.error.startswith("plugins/bad.py: writes to or closes file descriptors") or "ends its process" in bad.error


def test_a_plugin_that_switches_the_watchdog_off_is_ended_by_the_parent(plugins: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "_GRACE_S", 0.3)
    source = "import faulthandler\nfaulthandler.cancel_dump_traceback_later()\nwhile True: pass"
    assert probe_between_good_ones(plugins, source).error == "plugins/bad.py: takes longer than 0.8 s while being imported"


def test_a_dead_child_is_seen_though_its_child_keeps_the_pipe(plugins: Any) -> None:
    source = "import os\nif os.fork():\n    os._exit(7)\nwhile True: pass"
    assert "ends its process with exit code 7" in probe_between_good_ones(plugins, source, timeout_s=10).error


def test_nothing_of_a_plugin_lives_on(plugins: Any, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    source = f"""
        import os, signal
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with open({str(pids)!r}, 'a') as file:
            file.write(f'{{os.getpid()}}\\n')
        while True: pass
    """
    assert not probe_between_good_ones(plugins, source, timeout_s=1).ok
    written = [int(pid) for pid in pids.read_text().split()]
    assert len(written) == 2
    assert all(gone(pid) for pid in written)


def test_a_healthy_folder_costs_one_child_and_each_target_one_import(plugins: Any) -> None:
    for name in ("a", "b", "c"):
        plugins.write(f"{name}.py", PID_AS_DOC)
    found = probe({"a": "a", "b": "b", "c": "c", "again": "a:run"}, plugins.path)
    assert len({probe.doc for probe in found.values()}) == 1
    assert found["a"].doc != str(os.getpid())
    assert found["again"] == found["a"]


def test_a_broken_plugin_costs_one_more_child(plugins: Any) -> None:
    for name in ("a", "c", "d"):
        plugins.write(f"{name}.py", PID_AS_DOC)
    plugins.write("b.py", "import os; os._exit(1)")
    found = probe({name: name for name in "abcd"}, plugins.path)
    assert found["a"].doc != found["c"].doc == found["d"].doc


def test_a_probe_tells_all_there_is(plugins: Any) -> None:
    plugins.write(
        "full.py",
        """
        from typing import Literal
        from scheduler import retry, timeout
        @retry(4, delay=2, retry_on=[ConnectionError])
        @timeout("5m")
        def run(source: Literal["api", "db"], size: int = 5, /, *rest: int, deep: "list[str] | None" = None, **more):
            '''Pull records.

            More of it.
            '''
        """,
    )
    found = probe({"t": "full"}, plugins.path)["t"]
    assert (found.target, found.ok, found.kind, found.doc, found.error, found.warnings) == (
        "full:run",
        True,
        "function",
        "Pull records.",
        "",
        (),
    )
    assert found.signature == (
        Parameter("source", "positional_only", required=True, annotation="Literal['api', 'db']"),
        Parameter("size", "positional_only", required=False, annotation="int"),
        Parameter("rest", "var_positional", required=False, annotation="int"),
        Parameter("deep", "keyword_only", required=False, annotation="list[str] | None"),
        Parameter("more", "var_keyword", required=False, annotation=""),
    )
    assert found.marks["max_attempts"] == 4
    assert found.marks["retry_on"] == ["ConnectionError"]
    assert found.marks["timeout"] == "5m"
    assert asdict(found)["signature"][1]["name"] == "size"


def test_async_functions_and_classes_are_told_apart(plugins: Any) -> None:
    plugins.write(
        "kinds.py",
        """
        '''Doc of the module.'''
        import functools
        from scheduler import BaseTask, timeout
        async def co(): ...
        class Sync(BaseTask):
            @timeout(3)
            def execute(self, size: int): ...
        class Async(BaseTask):
            async def execute(self): ...
        partial = functools.partial(print, 1)
        builtin = max
        class Limit: ...
        def marked(): ...
        marked.__scheduler_marks__ = {"give_up_on": Limit, "window": Limit.__name__, "odd": {1, }}
        """,
    )
    found = probe({name: f"kinds:{name}" for name in ("co", "Sync", "Async", "partial", "builtin", "marked")}, plugins.path)
    assert [probe.error for probe in found.values() if not probe.ok] == []
    assert [probe.kind for probe in found.values()] == ["async", "class", "async", "function", "function", "function"]
    assert found["Sync"].marks == {"timeout": 3}
    assert [parameter.name for parameter in found["Sync"].signature] == ["size"]
    assert found["builtin"].signature == (Parameter("kwargs", "var_keyword", required=False, annotation=""),)
    assert found["co"].doc == "Doc of the module."
    assert found["marked"].marks == {"give_up_on": "Limit", "window": "Limit", "odd": "{1}"}


def test_the_version_follows_the_content(plugins: Any) -> None:
    file = plugins.write("a.py")
    plugins.write("pkg/__init__.py")
    helper = plugins.write("pkg/part.py", "")
    targets = {"a": "a", "pkg": "pkg"}
    first = probe(targets, plugins.path)
    assert probe(targets, plugins.path) == first
    file.write_text("def run(): return 1")
    second = probe(targets, plugins.path)
    assert (second["a"].version != first["a"].version, second["pkg"].version == first["pkg"].version) == (True, True)
    helper.write_text("x = 1")
    assert probe(targets, plugins.path)["pkg"].version != first["pkg"].version


def test_an_installed_package_can_be_named(plugins: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site" / "acme"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "jobs.py").write_text("def nightly(): ...")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    found = probe({"n": "acme.jobs:nightly", "m": "acme.jbos"}, plugins.path)
    assert found["n"].ok
    assert len(found["n"].version) == 12
    assert "No module named 'acme.jbos'" in found["m"].error


def test_a_wrong_target_is_told_without_a_child(plugins: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "run_child", None)
    found = probe({"t": "../../etc/passwd"}, plugins.path)
    assert found["t"] == Probe("../../etc/passwd", ok=False, error=found["t"].error)
    assert "'../../etc/passwd' is no plugin" in found["t"].error


def test_a_child_that_does_not_start_is_no_plugins_fault_and_tried_once(plugins: Any) -> None:
    false = which("false") or ""
    found = probe({"a": "a", "b": "b"}, plugins.path, python=false)
    assert {found[name].error for name in "ab"} == {f"the probe did not start: {false} ends its process with exit code 1"}


def test_a_python_that_is_not_there_leaves_nothing_open(plugins: Any) -> None:
    open_before = set(Path("/dev/fd").iterdir())
    with pytest.raises(FileNotFoundError):
        probe({"a": "a"}, plugins.path, python="/no/such/python")
    assert set(Path("/dev/fd").iterdir()) == open_before


def test_an_unreadable_file_is_broken_and_has_no_version(plugins: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plugins.write("a.py")
    original = Path.read_bytes

    def fail(path: Path) -> bytes:
        if path.name == "a.py":
            raise PermissionError(path)
        return original(path)

    monkeypatch.setattr(Path, "read_bytes", fail)
    assert probe({"a": "a"}, plugins.path)["a"].version == ""


def test_the_childs_own_process_group_is_not_ours(plugins: Any) -> None:
    plugins.write("a.py", "import os\ndef run(): ...\nrun.__doc__ = f'{os.getpgid(0)} {os.getppid()}'")
    group, parent = map(int, probe({"a": "a"}, plugins.path)["a"].doc.split())
    assert (group != os.getpgid(0), parent) == (True, os.getpid())


def test_probing_leaves_this_process_alone(plugins: Any) -> None:
    plugins.write("a.py", "import sys, signal\nsys.path.insert(0, '/nowhere')\ndef run(): ...")
    before = (list(sys.path), set(sys.modules), signal.getsignal(signal.SIGTERM))
    probe({"a": "a"}, plugins.path)
    assert (list(sys.path), set(sys.modules) - before[1], signal.getsignal(signal.SIGTERM)) == (before[0], set(), before[2])
    assert list(plugins.path.iterdir()) == [plugins.path / "a.py"], "no bytecode is left beside the plugins"
