"""`make bench`: measures this project and its peers side by side, on one server, in turn, and prints medians.

Each repetition goes through all systems before the next begins, so that what the machine does meanwhile meets all of them alike. It waits
for a moment when nobody else uses the processor before each measurement, and reports what others used during it.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import figures
import psutil
import report
from catalog import PEERS
from environments import ENVIRONMENTS
from load import wait_until_quiet
from measure import MeasurementError, Result, latency, sustained, throughput
from peer import Peer
from server import Server

RESULTS = Path(__file__).parent / "results"
LADDER = (500, 1000, 2000, 3000, 4000, 6000, 8000, 10_000, 12_000, 16_000)
Runs = dict[str, dict[str, list[Result]]]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--list", action="store_true", help="name the systems and leave")
    parser.add_argument(
        "--own", action="store_true", help="what no peer has a twin of: start-up, 100,000 schedules, memory, processes, idleness"
    )
    parser.add_argument("--only", metavar="NAME,…", help="these systems alone (a name stands for all that begin with it)")
    parser.add_argument("--kinds", metavar="KIND,…", default="throughput,latency,fires", help="throughput, latency, fires (default: all)")
    parser.add_argument("--n", type=int, help="no-ops per repetition (default 20000; latency measures a fortieth of it)")
    parser.add_argument("--reps", type=int, help="repetitions, of which the median is given (default 3)")
    parser.add_argument("--quick", action="store_true", help="one short repetition, little patience: to see that everything works")
    parser.add_argument("--transport", choices=("tcp", "unix"), default="tcp", help="how all systems reach the server (default tcp)")
    parser.add_argument("--patience", type=float, help="seconds to wait for a quiet moment before each measurement (default 120)")
    chosen = parser.parse_args()
    number, reps, patience = (500, 1, 3.0) if chosen.quick else (20_000, 3, 120.0)
    chosen.n, chosen.reps = chosen.n or number, chosen.reps or reps
    chosen.patience = patience if chosen.patience is None else chosen.patience
    chosen.kinds = chosen.kinds.split(",")
    if unknown := set(chosen.kinds) - set(report.TABLES):
        parser.error(f"--kinds: {', '.join(sorted(unknown))}: choose from {', '.join(report.TABLES)}")
    chosen.peers = [peer for peer in PEERS.values() if not chosen.only or peer.name.startswith(tuple(chosen.only.split(",")))]
    if not chosen.peers:
        parser.error(f"--only {chosen.only}: choose from {', '.join(PEERS)}")
    return chosen


def available(peers: list[Peer]) -> Iterator[Peer]:
    """Those whose environment can be made here; the others are named."""
    for peer in peers:
        environment = ENVIRONMENTS[peer.environment]
        if environment.missing:
            print(f"{peer.name} is left out: {environment.missing}")
        else:
            environment.make()
            yield peer


def measurements(peer: Peer, chosen: argparse.Namespace, server: Server) -> dict[str, Callable[[], Result]]:
    """What this system can be measured for, among what was asked for."""
    ladder, window_s = (LADDER[:1], 3.0) if chosen.quick else (LADDER, 10.0)
    possible: dict[str, Callable[[], Result]] = {}
    if peer.workers:
        possible["throughput"] = lambda: throughput(peer, server, chosen.n)
        possible["latency"] = lambda: latency(peer, server, max(50, chosen.n // 40))
    if peer.fires:
        possible["fires"] = lambda: sustained(peer, server, ladder, window_s)
    return {kind: measure for kind, measure in possible.items() if kind in chosen.kinds}


def measure_all(chosen: argparse.Namespace, peers: list[Peer], server: Server) -> tuple[Runs, list[str]]:
    runs: Runs = defaultdict(lambda: defaultdict(list))
    failures = []
    for repetition in range(1, chosen.reps + 1):
        for peer in peers:
            for kind, measure in measurements(peer, chosen, server).items():
                before = wait_until_quiet(chosen.patience)
                print(f"{repetition}/{chosen.reps} {peer.name} {kind} (others before: {before:.2f} cores)", file=sys.stderr, flush=True)
                try:
                    runs[peer.name][kind].append({**measure(), "other_cores_before": before})
                except (MeasurementError, subprocess.TimeoutExpired) as error:
                    failures.append(f"{peer.name} {kind}: {error}")
                    print(f"  failed: {error}", file=sys.stderr, flush=True)
    return runs, failures


def machine(server: Server) -> dict[str, Any]:
    info = server.work.info("server")
    return {
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "system": platform.platform(),
        "python": platform.python_version(),
        "server": f"{info.get('server_name', 'redis')} {info.get('valkey_version', info['redis_version'])}, no persistence",
    }


def save(document: dict[str, Any]) -> Path:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / time.strftime("%Y%m%dT%H%M%S.json", time.gmtime())
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path


def main() -> int:
    chosen = options()
    if chosen.list:
        width = max(map(len, PEERS))
        print("\n".join(f"{peer.name.ljust(width)}  {peer.what}" for peer in chosen.peers))
        return 0
    if chosen.own:
        return figures.main()
    peers = list(available(chosen.peers))
    with Server(chosen.transport) as server:
        about = {**machine(server), "transport": chosen.transport, "n": chosen.n, "repetitions": chosen.reps}
        runs, failures = measure_all(chosen, peers, server)
    results = {
        name: {kind: report.median(repetitions) for kind, repetitions in kinds.items() if repetitions} for name, kinds in runs.items()
    }
    print("\n" + ", ".join(f"{key} {value}" for key, value in about.items()))
    print("\n".join(filter(None, (report.table(kind, results) for kind in report.TABLES))))
    print(
        "\n* no repetition ran without others using more than a third of a core"
        if any(not r["clean"] for k in results.values() for r in k.values())
        else ""
    )
    print("\n".join(f"failed: {failure}" for failure in failures))
    about["what"] = {peer.name: peer.what for peer in peers}
    print(f"written to {save({'about': about, 'results': results, 'runs': runs, 'failures': failures})}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
