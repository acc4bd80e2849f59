"""run.py from a newcomer's first plugin to Ctrl-C: real processes, an embedded store in a folder, and nothing left behind."""

import fcntl
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import psutil
import pytest

from scheduler import __version__
from scheduler.core.clock import monotonic, sleep

ROOT = Path(__file__).resolve().parents[2]


def until(condition: Callable[[], Any], what: str, timeout_s: float = 20) -> Any:
    deadline = monotonic() + timeout_s
    while monotonic() < deadline:
        if found := condition():
            return found
        sleep(0.02)
    return pytest.fail(f"not within {timeout_s} s: {what}")


class Place:
    """A folder with a deployment; ``run`` is a command that ends, ``start`` one that stays."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.command = [sys.executable, "run.py", "-c", str(folder / "env.yaml")]
        self.started: list[subprocess.Popen[str]] = []
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "APP_ENV"))}
        self.env |= {"LANG": "en_US.UTF-8", "SCHEDULER__WEB__PORT": "0"}
        (folder / "config").mkdir()
        (folder / "plugins").mkdir(mode=0o755)
        self.tasks("tasks: {}\n")
        (folder / "env.yaml").write_text("worker: {shutdown_timeout: 5}\n")

    def tasks(self, text: str) -> None:
        (self.folder / "config" / "dev.yaml").write_text(dedent(text))

    def plugin(self, name: str, text: str) -> None:
        file = self.folder / "plugins" / f"{name}.py"
        file.write_text(dedent(text))
        file.chmod(0o644)

    def run(self, *words: str, code: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self.command, *words], cwd=ROOT, env=self.env | env, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self.run(*words, "-o", "json", code=code).stdout)

    def start(self, *words: str, stdout: int = subprocess.PIPE) -> "subprocess.Popen[str]":
        process = subprocess.Popen([*self.command, *words], cwd=ROOT, env=self.env, stdout=stdout, stderr=subprocess.DEVNULL, text=True)
        self.started.append(process)
        return process

    def store_pid(self) -> int:
        """Of the embedded server; 0 when none lives."""
        file = self.folder / "data" / "store" / "valkey.pid"
        pid = int(file.read_text()) if file.exists() else 0
        return pid if pid and psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE else 0


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    for process in made.started:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
    if pid := made.store_pid():
        os.kill(pid, signal.SIGKILL)


def banner(process: "subprocess.Popen[str]") -> dict[str, str]:
    """The rows of the banner by their label."""
    rows: dict[str, str] = {}
    assert process.stdout
    for line in process.stdout:
        label, _, value = line.strip().partition("  ")
        rows[label] = value.strip()
        if label == "stop":
            return rows
    pytest.fail(f"it ended before its banner was complete: {rows}")


def get(url: str) -> tuple[int, str]:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # our own server
        return answer.status, answer.read().decode()


def family(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def gone(processes: list[psutil.Process]) -> bool:
    return not [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def test_the_first_day(place: Place) -> None:
    made = place.json("new", "plugin", "hello")
    place.tasks("tasks:\n" + made["task"])
    assert place.json("check")["tasks"] == ["hello"]
    early = place.run("submit", "hello")
    assert "No worker is running" in early.stderr
    assert place.store_pid() == 0  # the command's own embedded store went with it

    service = place.start()
    rows = banner(service)
    assert rows["store"].startswith("embedded")
    assert "1 ok" in rows["tasks"]
    assert rows["next"].endswith("hello")
    assert get(rows["open"] + "/livez")[0] == 200

    run = place.json("submit", "hello", "--params", '{"who": "you"}', "--wait", "--timeout", "30")
    assert run["result"] == {"greeted": "you", "times": 3}
    assert place.json("runs", "wait", early.stdout.strip())[0]["state"] == "succeeded"
    assert "hello, you (3)" in place.run("runs", "logs", run["id"]).stdout
    assert {each["id"] for each in place.json("runs", "list", "--task", "hello")} >= {run["id"], early.stdout.strip()}
    (worker,) = place.json("workers", "list")
    processes = family(service)
    assert worker["pid"] in {each.pid for each in processes}
    until(lambda: 'task_name="hello"' in get(rows["open"] + "/metrics")[1], "the Runs in the metrics")

    service.send_signal(signal.SIGINT)
    began = monotonic()
    assert service.wait(timeout=20) == 0
    assert monotonic() - began < 5
    assert service.stdout
    said = service.stdout.read()
    assert run["id"] in said
    assert said.rstrip().endswith("stopped")
    assert gone(processes)
    assert place.store_pid() == 0
    assert '"message"' in (place.folder / "logs" / "scheduler.log").read_text().splitlines()[0]


def test_on_a_terminal(place: Place) -> None:
    """Colours, Chinese, and lines that are cut instead of wrapped."""
    place.plugin("wordy", "def run():\n    return 'x' * 300\n")
    place.tasks("tasks: {wordy: {trigger: none}}")
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 60, 0, 0))
    place.env |= {"LANG": "zh_CN.UTF-8", "TERM": "xterm-256color"}
    service = place.start(stdout=theirs)
    os.close(theirs)
    try:
        seen = read_until(ours, "Ctrl-C：运行中")
        assert "\x1b[32m✓ 1 个正常" in seen
        place.run("submit", "wordy", "--wait")
        line = next(line for line in read_until(ours, "…").splitlines() if "成功" in line)
        assert len(re.sub(r"\x1b\[[\d;]*m", "", line)) <= 60
        service.send_signal(signal.SIGINT)
        assert "已停止" in read_until(ours, "已停止")
        assert service.wait(timeout=10) == 0
    finally:
        os.close(ours)


def read_until(terminal: int, text: str) -> str:
    """What the terminal shows, up to the text; reading blocks until there is more."""
    seen = b""
    deadline = monotonic() + 20
    while text.encode() not in seen and monotonic() < deadline:
        seen += os.read(terminal, 65536)
    return seen.decode()


def test_a_second_ctrl_c_stops_at_once(place: Place) -> None:
    place.plugin("deaf", "import time\n\n\ndef run():\n    time.sleep(60)\n")
    place.tasks("tasks: {deaf: {trigger: none}}")
    service = place.start("worker")
    banner(service)
    run = place.run("submit", "deaf").stdout.strip()
    until(lambda: place.json("runs", "show", run)["state"] == "running", "the Run at work")
    processes = family(service)
    service.send_signal(signal.SIGINT)
    assert service.stdout
    until(lambda: "1 at work may finish within 2.5 s" in service.stdout.readline(), "the word of the stop")
    service.send_signal(signal.SIGINT)
    assert service.wait(timeout=10) == 1
    assert "at once" in service.stdout.read()
    assert gone(processes)
    assert place.store_pid() == 0


def test_ctrl_c_during_the_start_leaves_nothing(place: Place) -> None:
    begun = place.folder / "begun"
    place.plugin("slow", f"import time\nopen({str(begun)!r}, 'w').close()\ntime.sleep(3)\n\n\ndef run():\n    pass\n")
    place.tasks("tasks: {slow: {trigger: none}}")
    service = place.start()
    until(begun.exists, "the probe at work")
    probes = family(service)
    service.send_signal(signal.SIGINT)
    assert service.wait(timeout=10) == 130
    assert place.store_pid() == 0
    until(lambda: gone(probes), "the end of the probe")


def test_a_taken_port_is_refused_before_anything_runs(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = place.run(code=2, SCHEDULER__WEB__PORT=str(port))
    assert str(port) in refused.stderr
    assert "SCHEDULER__WEB__PORT" in refused.stderr
    assert refused.stdout == ""
    assert place.store_pid() == 0


def test_it_is_a_module_too() -> None:
    done = subprocess.run([sys.executable, "-m", "scheduler", "--version"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == __version__


def test_start_workers_beside_another_instance(place: Place) -> None:
    first = place.start("serve", "--roles", "timer")
    banner(first)
    second = place.start("start-workers", "--count", "2")
    assert second.stdout
    assert second.stdout.readline() == "Started 2 workers\n"
    until(lambda: len(place.json("workers", "list")) == 2, "two workers")
    for process in (second, first):
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    assert place.store_pid() == 0
    assert {file.name for file in (place.folder / "logs").glob("*.log")} == {"scheduler.log", "scheduler-2.log"}
