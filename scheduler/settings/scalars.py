"""What an unquoted word of YAML means; words that readers of YAML 1.1 and 1.2 take for different things are refused."""

import re
from math import isfinite
from typing import Any

import yaml

NULLS = frozenset({"", "~", "null", "Null", "NULL"})
YES_NO = frozenset(["yes", "Yes", "YES", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF"])  # booleans of YAML 1.1 only

_RESOLVER: Any = yaml.resolver.Resolver()
_NUMBER_OF_1_2 = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|0o[0-7]+")
_SAME_NUMBER = re.compile(r"[-+]?(0|[1-9]\d{0,18})|0x[0-9a-fA-F]{1,16}|([-+]?\d+\.\d*|\.\d+)([eE][-+]\d+)?")
_SHORT = 20  # digits: of longer numbers neither JSON nor Lua keeps the value


class PlainError(ValueError):
    """An unquoted word that does not mean one thing; the message says what to write instead."""


def plain_value(text: str, *, strict: bool = False) -> str | float | bool | None:
    """The value of an unquoted ``text``: null, true/false (also yes, no, on, off; not when ``strict``), a number, or text."""
    kind = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False)).rpartition(":")[2]
    if kind == "null":
        return None
    if kind == "bool":
        value = text.lower() in ("true", "yes", "on")
        if strict and text in YES_NO:
            said = f"unquoted, {text} is {str(value).lower()} to YAML 1.1 and text to YAML 1.2"
            raise PlainError(f'{said}; quote it: "{text}", or write true or false')
        return value
    if kind not in ("int", "float") and not _NUMBER_OF_1_2.fullmatch(text):
        return text
    if _SAME_NUMBER.fullmatch(text) and isfinite(number := int(text, 0) if kind == "int" else float(text)):
        return number
    raise PlainError(_trap_message(text))


def _trap_message(text: str) -> str:
    old = yaml.safe_load(text) if len(text) < _SHORT else None
    if isinstance(old, int):
        return f'unquoted, {text} is the number {old} to YAML 1.1; quote it if it is text: "{text}"'
    return f'unquoted, {text} is a number to some YAML readers and not to others; quote it: "{text}", or write plain digits'
