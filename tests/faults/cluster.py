"""A cluster for the fault runs: a server, and instances as processes of their own, stopped and killed by their process ids."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

from scheduler.center import SchedulerCenter
from scheduler.core.clock import monotonic, sleep
from scheduler.core.run import Run
from tests.conftest import Server
from tests.faults.effects import Effect, read_effects
from tests.faults.history import History
from tests.faults.proxy import Proxy

HERE = Path(__file__).parent
LEASE_S, LEADER_LEASE_S = 3, 2
T = TypeVar("T")


def until(condition: Callable[[], T], within_s: float, what: str) -> T:
    """The first true answer of ``condition``; the test fails when there is none in time."""
    deadline = monotonic() + within_s
    while not (answer := condition()):
        if monotonic() > deadline:
            pytest.fail(f"not within {within_s:g} s: {what}")
        sleep(0.01)
    return answer


def crowded(seconds: float) -> float:
    """A limit of this many seconds, for a machine that others use too: longer by its load per core."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def task(function: str, **policy: Any) -> dict[str, Any]:
    """A task of the plugin ``work``, or of ``module:function``; without a trigger of its own."""
    return {"module": function if ":" in function else f"work:{function}", "trigger": "none", **policy}


class Instance:
    """One instance; ``changes`` are sections of env.yaml that only it has, ``crash`` a point from ``hooks/crashpoints.py``."""

    def __init__(self, cluster: "Cluster", name: str, roles: Sequence[str], crash: str, changes: Mapping[str, Any]) -> None:
        self.cluster = cluster
        self.roles = roles
        self.crash = crash
        self._config = cluster.settings_file(name, **changes)
        self._ready = cluster.folder / f"{name}.ready"
        self._log = cluster.folder / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def id(self) -> str:
        return self._ready.read_text()

    def start(self, *, wait: bool = True) -> "Instance":
        self._ready.unlink(missing_ok=True)
        command = [sys.executable, str(HERE / "instance.py"), str(self._config), str(self._ready), *self.roles]
        environment = self.cluster.environment | ({"PYTHON_CRASH": self.crash} if self.crash else {})
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.cluster.folder, env=environment, stdout=log, stderr=log)
        if wait:
            self.await_ready()
        return self

    def await_ready(self, within_s: float = 30) -> None:
        until(lambda: self._ready.exists() and self._ready.read_text(), within_s, f"{self._ready.stem} is up:\n{self.log()[-3000:]}")
        if "worker" in self.roles:
            count = json.loads(self._config.read_text())["worker"]["processes"]
            until(lambda: len(self.workers()) >= count, within_s, f"{self._ready.stem} has {count} workers")

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def workers(self) -> dict[str, int]:
        """Its workers in service → their process ids."""
        prefix, client = self.cluster.queue.prefix, self.cluster.queue.client
        names = [name for name in client.zrange(f"{prefix}leases", 0, -1) if name.startswith(f"{self.id}.")]
        pids = {name: client.hget(f"{prefix}w:{name}", "pid") for name in names}
        return {name: int(pid) for name, pid in pids.items() if pid and _alive(int(pid))}

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """As if its host had lost power: the instance and its workers at one time."""
        for pid in [self.pid, *self.workers().values()]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.wait()

    def wait(self, within_s: float = 30) -> int:
        """Its exit code."""
        assert self.process is not None
        return self.process.wait(within_s)

    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""


class Cluster:
    """A deployment in a folder of its own, its server, and its instances. ``tasks``: name → task as in a task file."""

    def __init__(self, tasks: Mapping[str, Any], **sections: Any) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sc"))
        self.server = Server(self.folder, "--appendfsync", "everysec")
        self.server.start()
        (self.folder / "tasks.yaml").write_text(json.dumps({"tasks": tasks}))
        self.settings = _merged(
            {
                "scheduler": {"tasks": "tasks.yaml", "plugins": str(HERE / "plugins"), "leader_lease": LEADER_LEASE_S, "timezone": "UTC"},
                "redis": {"url": self.server.url},
                "worker": {"lease": LEASE_S, "processes": 1, "shutdown_timeout": 5},
            },
            sections,
        )
        # The names begin with PYTHON because task processes see only variables that a program needs to run.
        path = os.pathsep.join([str(HERE / "hooks"), str(HERE.parents[1])])
        self.environment = {**os.environ, "PYTHON_CLUSTER": str(self.folder), "PYTHONPATH": path}
        self.instances: list[Instance] = []
        self._proxies: list[Proxy] = []
        self.center = SchedulerCenter(self.settings_file("client"))
        self.queue = self.center.queue

    def settings_file(self, name: str, **changes: Any) -> Path:
        path = self.folder / f"{name}.yaml"
        path.write_text(json.dumps(_merged(self.settings, changes)))
        return path

    def proxy(self) -> Proxy:
        """A line to the server that can be disturbed."""
        self._proxies.append(Proxy(self.server.socket))
        return self._proxies[-1]

    def instance(self, name: str, roles: Sequence[str] = ("timer", "worker"), crash: str = "", **changes: Any) -> Instance:
        """Another instance, not started yet."""
        self.instances.append(Instance(self, name, roles, crash, changes))
        return self.instances[-1]

    def effects(self) -> list[Effect]:
        return read_effects(self.folder / "effects.log")

    def state(self, run: str) -> str:
        record = self.queue.get(run)
        return record.state.value if record else "gone"

    def finished(self) -> int:
        """How many Runs have ended."""
        client, prefix = self.queue.client, self.queue.prefix
        return int(client.zcard(f"{prefix}done") + client.zcard(f"{prefix}dead"))

    def await_end(self, runs: Sequence[str], within_s: float) -> list[Run]:
        """These Runs once all of them have ended."""
        left = set(runs)

        def ended() -> bool:
            left.difference_update([run for run in left if (record := self.queue.get(run)) and record.ended])
            return not left

        until(ended, within_s, f"{len(runs)} Runs end")
        return [record for run in runs if (record := self.queue.get(run))]

    def history(self) -> History:
        return History(self.queue, self.effects())

    def stop(self) -> list[int]:
        """Stop all instances that live, in order; their exit codes."""
        living = [instance for instance in self.instances if instance.alive()]
        for instance in living:
            instance.signal(signal.SIGTERM)
        return [instance.wait(60) for instance in living]

    def leftovers(self) -> dict[int, str]:
        """Processes of this cluster that still live, by the mark in their environment → their command lines."""
        mark = f"PYTHON_CLUSTER={self.folder}\0".encode()
        found = {}
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                if mark in (entry / "environ").read_bytes() + b"\0":
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return found

    def close(self) -> None:
        """Whatever is left goes, without a verdict."""
        for instance in self.instances:
            if instance.alive() and instance.process is not None:
                instance.process.kill()
                instance.wait()
        for pid in self.leftovers():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.center.shutdown()
        for proxy in self._proxies:
            proxy.close()
        self.server.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        merged[key] = _merged(merged.get(key, {}), value) if isinstance(value, Mapping) else value
    return merged


def _alive(pid: int) -> bool:
    try:
        return (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]) != "Z"
    except OSError:
        return False
