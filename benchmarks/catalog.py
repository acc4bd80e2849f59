"""Every system that is measured, each in the configuration that was fastest for it on two cores."""

from ours import OURS
from peer import Peer

CELERY = (
    "{bin}/celery",
    "-A",
    "celery_app",
    "worker",
    "-l",
    "ERROR",
    "--without-gossip",
    "--without-mingle",
    "--without-heartbeat",
    "-P",
    "solo",
)
TASKIQ = ("{bin}/taskiq", "worker", "taskiq_app:broker", "--workers", "2", "--max-async-tasks", "200", "--max-prefetch", "1000")
TASKIQ += ("--no-parse", "--log-level", "ERROR")
ARQ = ("{bin}/arq", "arq_app.WorkerSettings")
NODE = ("node", "bullmq_app.cjs")
BULLMQ = "concurrency 50, finished jobs removed; acknowledged"

ALL = (
    *OURS,
    Peer(
        "dramatiq",
        "peers",
        "2 processes of 1 thread, prefetch 100, Retries only; acknowledged",
        app="dramatiq_app",
        workers=(("{bin}/dramatiq", "dramatiq_app", "-p", "2", "-t", "1", "--skip-logging"),),
        variables={"dramatiq_queue_prefetch": "100"},
    ),
    Peer(
        "huey",
        "peers",
        "3 processes, no results; popped without acknowledgement: a crash loses the task",
        app="huey_app",
        workers=(("{bin}/huey_consumer", "huey_app.huey", "-q", "-k", "process", "-w", "3", "-d", "0.001"),),
    ),
    Peer(
        "taskiq-list",
        "peers",
        "2 processes, 200 async tasks; popped without acknowledgement",
        app="taskiq_app",
        workers=((*TASKIQ, "--ack-type", "when_received"),),
        bulk=True,
        variables={"TASKIQ_BROKER": "list"},
    ),
    Peer(
        "taskiq-stream",
        "peers",
        "2 processes, 200 async tasks, acknowledged when executed",
        app="taskiq_app",
        workers=((*TASKIQ, "--ack-type", "when_executed"),),
        bulk=True,
        variables={"TASKIQ_BROKER": "stream"},
    ),
    Peer(
        "celery",
        "peers",
        "2 solo workers, prefetch 1,000, no results or events; acknowledged early",
        app="celery_app",
        workers=((*CELERY, "-n", "one"), (*CELERY, "-n", "two")),
        bulk=True,
    ),
    Peer(
        "rq",
        "peers",
        "2 SimpleWorkers (no fork per job)",
        app="rq_app",
        workers=(("{bin}/rq", "worker-pool", "-n", "2", "-q", "-w", "rq.worker.SimpleWorker", "-u", "{url}", "q"),),
        bulk=True,
    ),
    Peer("arq", "arq", "2 processes, 50 jobs each, polls every 10 ms", app="arq_app", workers=(ARQ, ARQ), bulk=True),
    Peer("bullmq", "node", f"1 node process, {BULLMQ}", producer=NODE, workers=((*NODE, "worker"),), bulk=True),
    Peer("bullmq-2", "node", f"2 node processes, {BULLMQ}", producer=NODE, workers=((*NODE, "worker"), (*NODE, "worker")), bulk=True),
    Peer(
        "apscheduler-redis",
        "peers",
        "RedisJobStore, 10 threads, one instance: nothing guards against a second",
        fires=("{python}", "apscheduler_app.py", "redis"),
    ),
    Peer("apscheduler-memory", "peers", "MemoryJobStore, 10 threads: nothing durable", fires=("{python}", "apscheduler_app.py", "memory")),
)
PEERS = {peer.name: peer for peer in ALL}
