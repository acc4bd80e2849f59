"""The language of texts for people: Chinese or English, by the environment."""

from collections.abc import Mapping
from typing import Literal

Language = Literal["zh", "en"]


def language(environ: Mapping[str, str]) -> Language:
    """``zh`` when the locale says so, else ``en``. The first that is set wins, in the order of POSIX: LC_ALL, LC_MESSAGES, LANG."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := environ.get(name):
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"
