"""The language of the command line. English stands in the code; ``zh.json`` beside this file has the Chinese for each text."""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any, cast

from scheduler.core.language import Language, language


@cache
def chinese() -> dict[str, str]:
    """English text → Chinese text."""
    return cast("dict[str, str]", json.loads(Path(__file__).with_name("zh.json").read_text(encoding="utf-8")))


def translate(text: str, lang: Language) -> str:
    return chinese().get(text, text) if lang == "zh" else text


def chosen_language(words: list[str]) -> Language:
    """That of ``--lang`` among the words of the command line, else that of the environment."""
    told = [
        word.removeprefix("--lang=")
        for before, word in zip(["", *words], words, strict=False)
        if before == "--lang" or word[:7] == "--lang="
    ]
    return "zh" if told[-1:] == ["zh"] else "en" if told else language(os.environ)


def translate_tree(command: Any, ctx: Any, lang: Language) -> None:
    """The help texts of ``command`` and of all below it, and the titles over them."""
    if lang == "en":
        return
    for part in (command, *command.get_params(ctx)):
        if part is not command:
            part.rich_help_panel = part.rich_help_panel or ("Options" if part.param_type_name == "option" else "Arguments")
        for name in ("help", "epilog", "rich_help_panel"):
            if text := getattr(part, name, None):
                setattr(part, name, translate(text, lang))
    for child in getattr(command, "commands", {}).values():
        child.rich_help_panel = child.rich_help_panel or "Commands"
        translate_tree(child, ctx, lang)
