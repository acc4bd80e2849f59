"""The README: its first task does what it says, its commands and keys exist, and both languages say the same."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from scheduler.cli.app import app
from scheduler.settings.task import TaskConfig

ROOT = Path(__file__).resolve().parents[2]
TEXTS = {lang: (ROOT / name).read_text(encoding="utf-8") for lang, name in (("en", "README.md"), ("zh", "README.zh.md"))}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def spans(text: str) -> set[str]:
    """What stands in backticks, outside of blocks."""
    return set(re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)))


@pytest.mark.parametrize("lang", TEXTS)
def test_the_first_task_runs_as_printed(lang: str, desk: Any) -> None:
    desk.write("plugins/hello.py", blocks(TEXTS[lang], "python")[0])
    desk.write("tasks.yaml", "tasks:\n" + blocks(TEXTS[lang], "yaml")[0])
    assert desk.json("check") == {"problems": [], "broken": {}, "warnings": [], "tasks": ["hello"]}
    assert len(desk.json("tasks", "next", "hello", "-n", "3")) == 3
    with desk.center() as center:
        center.start(["worker"])
        run = desk.json("submit", "hello", "--params", '{"name": "you"}', "--wait", "--timeout", "30")
    assert run["result"] == {"said": "hello you"}
    assert "saying hello" in desk("runs", "logs", run["id"]).stdout


def test_the_commands_exist() -> None:
    tree: Any = typer.main.get_command(app)
    verbs = {*tree.commands, *(f"{name} {verb}" for name, group in tree.commands.items() for verb in getattr(group, "commands", {}))}
    said = {" ".join(words.split()[:2]) for words in re.findall(r"python run\.py ([a-z]+(?: [a-z]+)?)", TEXTS["en"])}
    said |= {"runs list", "queues list", "queues show", "dead list", "workers list", "doctor", "stats"}
    assert {words for words in said if words not in verbs and words.split()[0] not in tree.commands} == set()
    assert {words for words in said if " " in words and hasattr(tree.commands[words.split()[0]], "commands")} <= verbs


def test_every_key_of_a_task_is_named() -> None:
    assert {key for key in TaskConfig.model_fields if f"`{key}`" not in TEXTS["en"]} == set()


def test_both_languages_say_the_same() -> None:
    assert spans(TEXTS["en"]) == spans(TEXTS["zh"])
    for language in ("python", "yaml", "console"):
        code = {lang: [re.sub(r" *#.*", "", block) for block in blocks(text, language)] for lang, text in TEXTS.items()}
        assert code["en"] == code["zh"]
    shape = {
        lang: [line.partition(" ")[0] for line in text.splitlines() if line.startswith(("#", "- ", "|"))] for lang, text in TEXTS.items()
    }
    assert shape["en"] == shape["zh"]
