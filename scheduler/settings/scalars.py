"""What an unquoted word of YAML means; words that readers of YAML 1.1 and 1.2 take for different things are refused."""

import re
from math import isfinite

import yaml

NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})
_FALSE = frozenset({"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"})
YES_NO = (_TRUE | _FALSE) - {"true", "True", "TRUE", "false", "False", "FALSE"}  # booleans of YAML 1.1 only

_INT = re.compile(r"[-+]?(?:0|[1-9]\d*)")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\d+\.\d*|\.\d+)(?:[eE][-+]\d+)?")
_TRAP = re.compile(
    r"[-+]?\d+(?::[0-5]?\d)+(?:\.\d*)?"  # 22:30 is 22 × 60 + 30
    r"|[-+]?0[\d_]+|0o[0-7]+|0b[01_]+"  # 0600 is octal in one version, 600 in the other
    r"|[-+]?\d[\d_]*_[\d_]*(?:\.[\d_]*)?"  # 1_000
    r"|[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+"  # 1e3; with a point and a sign, 1.0e+3, both agree
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)


class PlainError(ValueError):
    """An unquoted word that does not mean one thing; the message says what to write instead."""


def plain_value(text: str) -> str | float | bool | None:
    """The value of an unquoted ``text``: null, true/false (also yes, no, on, off), a number, or text. PlainError for traps."""
    if text[:1] not in _FIRST:
        return text
    if text in NULLS:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if text[0].isalpha():
        return text
    if len(text) < _LONGEST_NUMBER and (_INT.fullmatch(text) or _HEX.fullmatch(text)):
        return int(text, 0)
    if _FLOAT.fullmatch(text) and isfinite(number := float(text)):
        return number
    if any(pattern.fullmatch(text) for pattern in (_TRAP, _INT, _HEX, _FLOAT)):
        raise PlainError(_trap_message(text))
    return text


_LONGEST_NUMBER = 20  # digits: beyond them neither JSON nor Lua keeps the value
_FIRST = frozenset("0123456789+-.~") | {word[:1] for word in NULLS | _TRUE | _FALSE}


def _trap_message(text: str) -> str:
    old = yaml.safe_load(text) if len(text) < _LONGEST_NUMBER else None
    if isinstance(old, int):
        return f'unquoted, {text} is the number {old} to YAML 1.1; quote it if it is text: "{text}"'
    return f'unquoted, {text} is a number to some YAML readers and not to others; quote it: "{text}", or write plain digits'
