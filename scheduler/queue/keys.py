"""Every key the centre keeps in Redis, by name: ``{cq:<centre>}:<key>``, all in one hash slot.

A key that matches none of these patterns is a leak; the tests look for them. What stands before the colon is the key's type.
"""

PATTERNS = {
    "meta": "hash: schema, keep, generation, epoch",
    "lead": "hash: id, until, epoch, heard (its last renewal) of the leader",
    "instances": "hash: instance → when it was last there, and the digest of the configuration it enters",
    "schedules": "hash: schedule → its definition as JSON",
    "tasks": "hash: task that a program added → its definition as JSON",
    "fired": "hash: schedule → next;fires;first-last,…[;untold] (the instants that have fired, as ranges)",
    "queues": "hash: queue → fifo | lifo",
    "paused": "set: task/<name>, queue/<name>, schedule/<name>",
    "task:*": "hash: limit, rates, slot, paused of a task",
    "q:*": "zset: open lane → score of its head",
    "lane:*": "zset: waiting Run → score",
    "closed": "zset: closed lane → when to look again",
    "why": "hash: closed lane → reason, until when, and the cause that must end first, if any",
    "shut:*": "set: lanes that one cause closed, so that its end opens them at once",
    "busy:*": "set: running Runs of a concurrency group",
    "rate:*": "string: GCRA's theoretical arrival time of a limit; expires",
    "r:*": "hash: one Run (token: its claims; spared: those that do not count as attempts; delay: in ms, where `due` came from one)",
    "log:*": "string: tail of a Run's output",
    "delayed": "zset: Run → when it is due",
    "done": "zset: finished Run → when it ended",
    "dead": "zset: dead letter → when it died",
    "idem:*": "string: idempotency key → Run and body; expires",
    "active:*": "set: unfinished Runs of a schedule",
    "leases": "zset: worker → when its lease ends",
    "fenced": "zset: worker that lost its lease and may still hold Runs",
    "gone": "zset: the last thousand workers that ended",
    "w:*": "hash: one worker",
    "own:*": "set: Runs a worker holds",
    "knows:*": "set: tasks a worker can run",
    "idle": "zset: worker that waits for work → since when",
    "wake:*": "list: wake-ups for one worker",
    "cancels:*": "set: Runs a worker must stop",
    "gpu:*": "hash: Run → MiB reserved on a card",
    "ev": "stream: events; an entry holds the changes of one step",
    "bad:*": "any: foreign data that stood where a key of ours belongs; expires after a week",
}


def prefix(centre: str) -> str:
    """What every key of this centre begins with."""
    return f"{{cq:{centre}}}:"


def kind_of(name: str) -> str:
    """The type of a key as Redis names it (``hash``, ``zset`` …), ``any``, or '' for a name that is none of ours; without the prefix."""
    head, colon, _ = name.partition(":")
    return PATTERNS.get(f"{head}:*" if colon else head, "").partition(":")[0]
