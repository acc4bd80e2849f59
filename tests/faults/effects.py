"""What tasks really did: the effect log that they write, read back."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple


class Effect(NamedTuple):
    """One line of the log."""

    ms: int
    run: str
    token: int
    phase: str
    pid: int


def read_effects(path: Path) -> list[Effect]:
    return list(_parse(path.read_text().splitlines())) if path.exists() else []


def _parse(lines: Iterable[str]) -> Iterator[Effect]:
    for line in lines:
        ms, run, token, phase, pid = line.split()
        yield Effect(int(ms), run, int(token), phase, int(pid))


def starts(effects: Iterable[Effect]) -> dict[str, list[int]]:
    """Run → tokens of the executions that began, in order of the log."""
    found = defaultdict(list)
    for effect in effects:
        if effect.phase == "start":
            found[effect.run].append(effect.token)
    return found


def overlap_ms(effects: Iterable[Effect], run: str) -> int:
    """How long two executions of this Run were seen at work at one time."""
    spans: dict[int, tuple[int, int]] = {}
    for effect in effects:
        if effect.run == run:
            first, last = spans.get(effect.token, (effect.ms, effect.ms))
            spans[effect.token] = min(first, effect.ms), max(last, effect.ms)
    ordered = sorted(spans.values())
    return max((max(0, last - following) for (_, last), (following, _) in pairwise(ordered)), default=0)
