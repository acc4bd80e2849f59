"""Custom triggers in their child process: nothing they do stalls or harms anybody else, and nothing is left behind."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from scheduler.catalogue import trigger_of
from scheduler.core.errors import PluginError
from scheduler.core.task import Schedule
from scheduler.triggers import BuiltTrigger, TriggerError, apart, build_trigger, next_fires

MINE = """
import os, re, sys, time

class Tens:
    def __init__(self, every=10): self.every = every
    def next(self, after_ms): return (after_ms // self.every + 1) * self.every

class Holding:
    def next(self, after_ms): return 5 if after_ms < 5 else re.match("(a+)+$", "a" * 40 + "b")

class Looping:
    def next(self, after_ms):
        while after_ms >= 5: pass
        return 5

class Crashing:
    def next(self, after_ms): return 5 if after_ms < 5 else os._exit(3)

class Wrong:
    def next(self, after_ms): return 5 if after_ms < 5 else eval(self.text)
    def __init__(self, text): self.text = text

class Slow(Tens):
    def next(self, after_ms):
        time.sleep(0.02)
        return super().next(after_ms)

class Chatty(Tens):
    def next(self, after_ms):
        print("thinking", input() if sys.stdin.isatty() else sys.stdin.read())
        return super().next(after_ms)

class Killing:
    def next(self, after_ms):
        os.kill(os.getppid(), 9)
        re.match("(a+)+$", "a" * 40 + "b")

class Frozen:
    def __init__(self): re.match("(a+)+$", "a" * 40 + "b")

class Refusing:
    def __init__(self): raise ValueError("no table for that year")

class NoTrigger: ...
"""


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Callable[..., BuiltTrigger]]:
    """A trigger of the class ``mine:NAME``, which lives in the child."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "mine.py").write_text(MINE)
    apart.use_folder(folder)

    def make(name: str, **args: Any) -> BuiltTrigger:
        target = f"mine:{name}"
        return build_trigger("custom", {"class": target, **args}, register={target: partial(apart.build_apart, target)})

    yield make
    apart._child.end()


def test_it_fires_as_any_other(build: Any) -> None:
    assert next_fires(build("Tens", every=7), 10, 3) == [14, 21, 28]


def test_parts_of_a_combination_are_asked_there_too(build: Any) -> None:
    register = {name: partial(apart.build_apart, name) for name in ("mine:Tens", "mine:Holding")}
    parts = [{"trigger": "custom", "args": {"class": "mine:Tens", "every": every}} for every in (6, 10)]
    assert next_fires(build_trigger("and", {"triggers": parts}, register=register), 0, 2) == [30, 60]
    parts[0]["args"] = {"class": "mine:Holding"}
    either = build_trigger("or", {"triggers": parts}, register=register)
    with pytest.raises(TriggerError, match=r"mine:Holding.next\(5\) took longer than 0.1 s"):
        next_fires(either, 0, 2)


@pytest.mark.parametrize(
    ("name", "how"), [("Holding", "took longer than 0.1 s"), ("Looping", "took longer than 0.1 s"), ("Crashing", "ended its process")]
)
def test_what_hangs_or_crashes_is_given_up_and_the_others_answer(build: Any, name: str, how: str) -> None:
    good, bad = build("Tens"), build(name)
    with pytest.raises(TriggerError, match=rf"^mine:{name}.next\(7\) {how}$") as caught:
        bad.next(7)
    assert caught.value.key == ("class",)
    assert good.next(7) == 10
    assert bad.next(0) == 5


def test_no_schedule_brings_a_class_into_this_process(build: Any) -> None:
    either = [{"trigger": "custom", "args": {"class": f"mine:{name}"}} for name in ("Tens", "Holding")]
    trigger = trigger_of(Schedule(name="odd", task="odd", trigger="or", args={"triggers": either}))
    with pytest.raises(TriggerError, match=r"mine:Holding.next\(5\) took longer than 0.1 s"):
        trigger.next(5)
    assert "mine" not in sys.modules


def test_a_constructor_that_hangs_is_given_up(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "_BUILD_S", 0.5)
    with pytest.raises(TriggerError, match=r"^class mine:Frozen took longer than 0.5 s$"):
        build("Frozen")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5", r"mine:Wrong.next\(10\) gave 5: it must give a whole number above 10, or None"),
        ("11.5", "gave 11.5"),
        ("True", "gave True"),
        ("'soon'", "gave 'soon'"),
        ("{1, 2}", r"gave '\{1, 2\}'"),
        ("1 / 0", r"mine:Wrong.next\(10\) raised ZeroDivisionError: division by zero"),
        ("sys.exit(3)", "raised SystemExit: 3"),
    ],
)
def test_wrong_answers_read_as_ever(build: Any, text: str, message: str) -> None:
    with pytest.raises(TriggerError, match=message):
        build("Wrong", text=text).next(10)


def test_what_cannot_be_built_reads_as_ever(build: Any) -> None:
    with pytest.raises(TriggerError, match=r"class mine:Tens cannot be built: TypeError: .*'evry'"):
        build("Tens", evry=3)
    with pytest.raises(TriggerError, match="class mine:Refusing cannot be built: ValueError: no table for that year"):
        build("Refusing")
    with pytest.raises(TriggerError, match=r"class mine:NoTrigger has no method next\(after_ms\)"):
        build("NoTrigger")
    with pytest.raises(PluginError, match=r"没有 'Tnes' 函数.*did you mean 'Tens'"):
        build("Tnes")


def test_what_it_prints_and_reads_is_its_own_affair(build: Any) -> None:
    assert next_fires(build("Chatty"), 0, 2) == [10, 20]


def test_a_search_among_slow_answers_is_given_up(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each answer keeps its time, but a hundred thousand of them would stall whoever waits for them."""
    monkeypatch.setattr(apart, "_AT_ONCE_S", 0.2)
    with pytest.raises(TriggerError, match=r"mine:Slow answers too slowly: its last answers took more than 0.2 s"):
        next_fires(build("Slow"), 0, 100_000)


def test_another_use_of_the_folder_imports_anew(build: Any, tmp_path: Path) -> None:
    trigger = build("Tens")
    (tmp_path / "plugins" / "mine.py").write_text(MINE.replace("every=10", "every=3"))
    assert trigger.next(0) == 10
    apart.use_folder(tmp_path / "plugins")
    assert trigger.next(0) == 3


def test_a_child_that_was_killed_while_idle_is_replaced(build: Any) -> None:
    trigger, child = build("Tens"), apart._child._process
    child.kill()
    child.wait()
    assert (build("Tens").next(0), trigger.next(0)) == (10, 10)


# ── Other processes ───────────────────────────────────────────────────────────────────────────────────────────────

PROGRAM = """
import os, sys
from pathlib import Path
from scheduler.triggers import apart
apart.use_folder(Path(sys.argv[1]))
good = apart.build_apart("mine:Tens")
child = apart._child._process.pid
"""
ENDS = {"it ends": "", "it is killed": "os.kill(os.getpid(), 9)", "it is killed meanwhile": "apart.build_apart('mine:Killing').next(7)"}


def run(program: str, folder: Path) -> str:
    command = [sys.executable, "-c", PROGRAM + program, str(folder)]
    root = str(Path(__file__).parents[2])
    done = subprocess.run(command, cwd=root, env={**os.environ, "PYTHONPATH": root}, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode in {0, -signal.SIGKILL}
    return done.stdout


@pytest.mark.parametrize("how", ENDS)
def test_it_does_not_outlive_its_program(build: Any, tmp_path: Path, how: str) -> None:
    child = int(run(f"print(child, flush=True)\n{ENDS[how]}", tmp_path / "plugins"))
    with suppress(ProcessLookupError):
        assert select.select([os.pidfd_open(child)], [], [], 20)[0], "it lives on"


def test_a_fork_has_a_child_of_its_own(build: Any, tmp_path: Path) -> None:
    fork = "if not (copy := os.fork()): os._exit(0 if good.next(7) == 10 and apart._child._process.pid != child else 1)\n"
    program = f"{fork}print(os.waitpid(copy, 0)[1], good.next(17), apart._child._process.pid == child)"
    assert run(program, tmp_path / "plugins") == "0 20 True\n"
