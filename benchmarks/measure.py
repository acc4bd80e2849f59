"""The three measurements: no-op throughput, start latency on an idle system, and sustained fires of schedules."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from environments import ENVIRONMENTS, ROOT
from load import Reading, family
from peer import APPS, Command, Peer, Site
from server import Server

Result = dict[str, Any]
PRODUCER_TIMEOUT_S = 180
DRAIN_TIMEOUT_S = 180
STEP_S = 0.02
NEEDED_SHARE = 0.97  # of the demanded fires, for a rate to count as held
NEEDED_P99_MS = 1000.0  # later than its period is behind


class MeasurementError(Exception):
    """A system did not do what it was asked to; the message holds the end of its output."""


class Bench(NamedTuple):
    """A system set up in a folder of its own against the run's server."""

    peer: Peer
    site: Site
    server: Server

    def variables(self) -> dict[str, str]:
        node_modules = str(ENVIRONMENTS["node"].folder / "node_modules")
        shared = {"PYTHONPATH": f"{APPS}:{ROOT}", "NODE_PATH": node_modules, "NODE_ENV": "production", "BENCH_FOLDER": self.site.directory}
        return {**os.environ, **shared, "BENCH_URL": self.site.url, "BENCH_STATS_URL": self.server.statistics_url, **self.peer.variables}

    def produce(self, mode: str, number: int) -> Result:
        """The producer's own figures: {"n": submitted, "seconds": wall time, "cpu_seconds": of the producer}."""
        command = self.peer.produce(self.site, mode, number)
        done = subprocess.run(
            command,
            cwd=APPS,
            env=self.variables(),
            capture_output=True,
            text=True,
            timeout=PRODUCER_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode or not lines:
            raise MeasurementError(f"{' '.join(command)}: {(done.stderr or done.stdout)[-800:]}")
        answer: Result = json.loads(lines[-1])
        return answer

    @contextlib.contextmanager
    def running(self, commands: Sequence[Command]) -> Iterator[list[subprocess.Popen[bytes]]]:
        """The system's processes; at the end they get a second to leave, then go with all their children."""
        with Path(self.site.directory, "log").open("ab") as log:
            processes = [
                subprocess.Popen(self.site.fill(c), cwd=APPS, env=self.variables(), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
                for c in commands
            ]
        try:
            yield processes
        finally:
            end(processes)

    def tail(self) -> str:
        return Path(self.site.directory, "log").read_text(errors="replace")[-800:]


def end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    everyone = family(processes)
    for process in processes:
        process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + 1
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
    for process in everyone:
        with contextlib.suppress(Exception):  # gone already
            process.kill()
    for process in processes:
        process.wait()


@contextlib.contextmanager
def set_up(peer: Peer, server: Server) -> Iterator[Bench]:
    environment = ENVIRONMENTS[peer.environment]
    with tempfile.TemporaryDirectory(prefix="bench") as directory:
        site = Site(str(environment.python), str(environment.bin), server.url, directory)
        server.work.flushall()
        if peer.prepare:
            peer.prepare(site)
        yield Bench(peer, site, server)


def wait_for(condition: Callable[[], Any], timeout_s: float, step_s: float = STEP_S) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(step_s)
    return True


def done_count(server: Server) -> int:
    return int(server.statistics.get("done") or 0)


def throughput(peer: Peer, server: Server, number: int) -> Result:
    """Submit ``number`` no-ops in bulk (and forget them), then one by one, then start the workers and see them worked off."""
    with set_up(peer, server) as bench:
        result: Result = {}
        if peer.bulk:
            bulk = bench.produce("bulk", number)
            result["bulk_per_s"] = bulk["n"] / bulk["seconds"]
            server.work.flushall()
        one = bench.produce("one", number)
        result |= {"one_per_s": one["n"] / one["seconds"], "producer_us": one["cpu_seconds"] / one["n"] * 1e6}
        return result | drain(bench, one["submitted"])


def drain(bench: Bench, number: int) -> Result:
    """The window runs from the first to the last no-op, by the workers' own clocks; the start of their processes is outside."""
    server = bench.server
    with bench.running(bench.peer.workers) as workers:
        if not wait_for(lambda: done_count(server), 60):
            raise MeasurementError(f"nothing was processed: {bench.tail()}")
        start, already = Reading.take(server, workers), done_count(server)
        finished = wait_for(lambda: done_count(server) >= number, DRAIN_TIMEOUT_S)
        used, done = Reading.take(server, workers).since(start), done_count(server)
    if not finished:
        raise MeasurementError(f"{done} of {number} processed in {DRAIN_TIMEOUT_S} s: {bench.tail()}")
    window = max(map(float, server.statistics.hvals("last"))) - min(map(float, server.statistics.lrange("first", 0, -1)))
    metered = max(1, done - already)
    return {
        "processed_per_s": done / max(window, 1e-9),
        "worker_us": used.workers / metered * 1e6,
        "server_us": used.server / metered * 1e6,
        "commands": used.commands / metered,
        "other_cores": used.other_cores,
    }


def latency(peer: Peer, server: Server, number: int) -> Result:
    """One task every 20 ms on an idle system, from before the submit to the first line of the task; and what idling itself costs."""
    with set_up(peer, server) as bench, bench.running(peer.workers) as workers:
        if not wait_for(lambda: bench.produce("latency", 5) and done_count(server) >= 5, 60, step_s=0.5):
            raise MeasurementError(f"nothing was processed: {bench.tail()}")
        time.sleep(1.5)
        before = Reading.take(server, workers)
        time.sleep(2)
        idle = Reading.take(server, workers).since(before)
        server.statistics.delete("latencies")
        before = Reading.take(server, workers)
        sent = bench.produce("latency", number)
        wait_for(lambda: server.statistics.llen("latencies") >= number, 20)
        used = Reading.take(server, workers).since(before)
        others = max(0.0, used.machine - used.workers - used.server - sent["cpu_seconds"]) / used.at
        return {
            **quantiles(server.statistics.lrange("latencies", 0, -1)),
            "idle_cpu_percent": idle.workers / idle.at * 100,
            "idle_commands_per_s": idle.commands / idle.at,
            "other_cores": others,
        }


def quantiles(seconds: Sequence[str]) -> Result:
    values = sorted(float(value) * 1000 for value in seconds)
    if not values:
        return {"samples": 0, "p50_ms": None, "p99_ms": None, "max_ms": None}
    at = [values[min(len(values) - 1, int(share * len(values)))] for share in (0.5, 0.99)]
    return {"samples": len(values), "p50_ms": at[0], "p99_ms": at[1], "max_ms": values[-1]}


def fires(peer: Peer, server: Server, per_s: int, window_s: float) -> Result:
    """``per_s`` schedules of one second each: how many fire, and how late, in a window after two seconds of running in."""
    with set_up(peer, server) as bench, bench.running([(*peer.fires, str(per_s))]) as processes:
        if not wait_for(lambda: server.statistics.get("armed"), 60 + per_s / 200, step_s=0.1):
            raise MeasurementError(f"the schedules were not added: {bench.tail()}")
        time.sleep(max(0.0, float(server.statistics.get("armed") or 0) - time.time()) + 2)
        before, first = Reading.take(server, processes), server.statistics.llen("latencies")
        time.sleep(window_s)
        used, last = Reading.take(server, processes).since(before), server.statistics.llen("latencies")
        late = quantiles(server.statistics.lrange("latencies", first, last - 1))
        return {
            "demanded_per_s": per_s,
            "fired_per_s": (last - first) / used.at,
            **late,
            "cpu_percent": used.workers / used.at * 100,
            "server_cpu_percent": used.server / used.at * 100,
            "other_cores": used.other_cores,
            "held": (last - first) / used.at >= NEEDED_SHARE * per_s and late["p99_ms"] <= NEEDED_P99_MS,
        }


def sustained(peer: Peer, server: Server, ladder: Sequence[int], window_s: float) -> Result:
    """The highest rate of the ladder that is held, and the first that is not."""
    best: Result = {}
    for per_s in ladder:
        step = fires(peer, server, per_s, window_s)
        if not step["held"]:
            return {**best, "other_cores": step["other_cores"], "broke_at": per_s, "broken": step}
        best = step
    return {**best, "broke_at": None}
