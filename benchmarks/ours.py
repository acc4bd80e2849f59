"""The scheduling centre as one more measured system: same protocol, same no-op, same server."""

from pathlib import Path

from peer import APPS, Peer, Site

SERVE = ("{python}", "-m", "ours_app", "serve")
WHAT = "2 worker processes; leases, fencing tokens, events, metrics; nothing is lost in a crash"


def _deployment(site: Site) -> None:
    """An env.yaml and a task file, as a user would write them."""
    folder = Path(site.directory)
    (folder / "env.yaml").write_text(
        f"""
redis: {{url: "{site.url}", allow_volatile: true}}
scheduler: {{tasks: tasks.yaml, plugins: {APPS / "ours_plugins"}, timezone: UTC}}
worker: {{processes: 2}}
"""
    )
    (folder / "tasks.yaml").write_text(
        """
tasks:
  tick: {module: "bench_tasks:tick", trigger: none}
  late: {module: "bench_tasks:late", trigger: none}
  fired: {module: "bench_tasks:fired", trigger: none}
"""
    )


OURS: tuple[Peer, ...] = (
    Peer(
        "ours",
        "ours",
        WHAT,
        app="ours_app",
        workers=(SERVE,),
        bulk=True,
        fires=("{python}", "-m", "ours_app", "fires"),
        prepare=_deployment,
    ),
)
