"""Durations and sizes as people write them: a bare number is seconds (or bytes); ``"5m"`` and ``"2GiB"`` are understood."""

import re

_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_BYTES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|[KMGT]i?B)?")


def duration_ms(value: object) -> int:
    """Milliseconds of ``30``, ``1.5``, ``"30s"``, ``"1h30m"`` or ``"250ms"``; ValueError says what is allowed."""
    if isinstance(value, bool):
        raise _bad_duration(value)
    if isinstance(value, int | float) and 0 <= value < 10**12:
        return round(value * 1000)
    if isinstance(value, str):
        text = value.strip()
        if re.fullmatch(r"\d+(\.\d+)?", text):
            return round(float(text) * 1000)
        if text and not _PART.sub("", text).strip():
            return round(sum(float(number) * _MS[unit] for number, unit in _PART.findall(text)))
    raise _bad_duration(value)


def size_bytes(value: object) -> int:
    """Bytes of ``1024``, ``"512MiB"`` or ``"2GB"`` (GB is 10^9, GiB is 2^30); ValueError says what is allowed."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        return round(float(match[1]) * _BYTES[match[2] or ""])
    msg = f"{value!r} is not a size: write bytes, or a text such as 512MiB, 2GiB, 10GB"
    raise ValueError(msg)


def format_ms(ms: float) -> str:
    """The shortest exact text of a duration: ``90_000`` → ``"1m30s"``."""
    rest, parts = round(ms), []
    for unit in ("d", "h", "m", "s", "ms"):
        count, rest = divmod(rest, _MS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _bad_duration(value: object) -> ValueError:
    return ValueError(f'{value!r} is not a duration: write seconds as a number, or a text such as "30s", "5m", "1h30m", "1d"')
