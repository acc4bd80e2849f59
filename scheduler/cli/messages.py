"""Errors and findings in Chinese. The rest of the package puts them together in English; here they are known by their phrases.

``zh_messages.json`` has English phrases, ``{name}`` for what may stand in between, and the Chinese of each.
"""

import json
import re
from functools import cache, partial
from pathlib import Path
from string import Formatter

from scheduler.core.language import Language
from scheduler.observe.vocabulary import word


def translate_message(text: str, lang: Language) -> str:
    """``text`` with every phrase that is known put into ``lang``; names, values and the words of other programs stay."""
    if lang == "zh":
        for pattern, chinese in _phrases():
            text = pattern.sub(partial(_filled, chinese), text)
    return text


def _filled(chinese: str, found: re.Match[str]) -> str:
    return chinese.format(**{name: word(value, "zh") if name == "state" else value for name, value in found.groupdict().items()})


@cache
def _phrases() -> list[tuple[re.Pattern[str], str]]:
    """The longest first: of two that fit at one place it says more."""
    known = json.loads(Path(__file__).with_name("zh_messages.json").read_text(encoding="utf-8"))
    return [(_pattern(english), known[english]) for english in sorted(known, key=len, reverse=True)]


def _pattern(phrase: str) -> re.Pattern[str]:
    """What stands at the end is one word, or quoted. No phrase begins or ends within a word."""
    parts = list(Formatter().parse(phrase))
    text = "".join(re.escape(literal) + (f"(?P<{name}>.+?)" if name else "") for literal, name, _, _ in parts)
    if parts[-1][1]:
        text = text.removesuffix(".+?)") + r"""'[^']*'|"[^"]*"|[^\s;]+)"""
    return re.compile((r"(?<!\w)" if phrase[0].isalnum() else "") + text + (r"(?!\w)" if phrase[-1].isalnum() else ""))
