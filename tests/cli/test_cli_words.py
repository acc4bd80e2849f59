"""Every text has its Chinese, in help and in the code; the language is chosen as people expect; global options stand anywhere."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

import scheduler.cli
from scheduler.cli.app import app, hoisted
from scheduler.cli.words import chinese, chosen_language

CODE = sorted(Path(scheduler.cli.__file__).parent.glob("*.py"))
SAID = {"tr", "done", "note", "problem", "translate"}


def tree(command: Any, ctx: Any) -> Iterator[str]:
    """The texts of all help pages."""
    for part in (command, *command.get_params(ctx)):
        yield from (text for name in ("help", "epilog", "rich_help_panel") if (text := getattr(part, name, None)))
    for child in getattr(command, "commands", {}).values():
        yield from tree(child, ctx)


def texts_of_help() -> set[str]:
    command = typer.main.get_command(app)
    return {*tree(command, command.context_class(command, info_name="scheduler")), "Options", "Arguments", "Commands"}


def constants(node: ast.AST) -> list[str]:
    return [each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)]


def spoken(call: ast.Call) -> Iterator[str]:
    """The texts that a call says to people."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if name in SAID and call.args:
        first = call.args[0]
        branches = [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]
        yield from (branch.value for branch in branches if isinstance(branch, ast.Constant) and isinstance(branch.value, str))
    if name == "counted":
        yield from (text for argument in call.args[1:] for text in constants(argument))
    if name == "rows":
        columns, *empty = [constants(argument) for argument in call.args[1:]]
        yield from (column.removesuffix("_ms").replace("_", " ") for column in " ".join(columns).split())
        yield from (text for texts in empty for text in texts if text)
    if name in ("Row", "_row"):
        arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
        yield from (text for argument in (arguments[1:2] + arguments[3:4]) for text in constants(argument))


def texts_of_code() -> set[str]:
    calls = [node for file in CODE for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    return {text for call in calls for text in spoken(call)}


NAMES = {"GPU", "web.host", "{error}", "{id}", "{id}: {state}", "Task submitted: {id}", "Started {n} workers"}  # the same in every language


def test_every_help_text_has_its_chinese() -> None:
    assert len(texts_of_help()) > 70
    assert sorted(texts_of_help() - chinese().keys()) == []


def test_every_text_in_the_code_has_its_chinese() -> None:
    assert len(texts_of_code()) > 50
    assert sorted(texts_of_code() - chinese().keys() - NAMES) == []


def test_nothing_is_translated_that_nobody_says() -> None:
    literals = {text for file in CODE for text in constants(ast.parse(file.read_text()))}
    columns = {word.removesuffix("_ms").replace("_", " ") for text in literals for word in text.split()}
    assert sorted(chinese().keys() - texts_of_help() - literals - columns) == []


def test_the_chinese_fills_in_the_same_values() -> None:
    def values(text: str) -> list[str]:
        return sorted(re.findall(r"{+[\w:]*}+", text))

    assert {text: chinese for text, chinese in chinese().items() if values(text) != values(chinese)} == {}


@pytest.mark.parametrize(
    ("words", "environ", "expected"),
    [
        ([], {"LANG": "zh_CN.UTF-8"}, "zh"),
        ([], {"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        (["--lang", "en"], {"LANG": "zh_CN.UTF-8"}, "en"),
        (["--lang=zh"], {"LANG": "en_US.UTF-8"}, "zh"),
        (["--lang", "zh", "--lang", "en"], {}, "en"),
    ],
)
def test_the_language(words: list[str], environ: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert chosen_language(words) == expected


def test_help_is_in_the_users_language(desk: Any) -> None:
    assert "Ask for one Run" in desk("--help").stdout
    assert "提交任务的一个 Run" in desk("--help", LANG="zh_CN.UTF-8").stdout
    page = desk("submit", "--help", "--lang", "zh").stdout
    assert "选项" in page
    assert "优先级" in page


def test_every_command_explains_itself(desk: Any) -> None:
    command = typer.main.get_command(app)
    for name, child in command.commands.items():
        for words in [[name, each] for each in getattr(child, "commands", {})] or [[name]]:
            assert "Usage" in desk(*words, "--help").stdout


GLOBALS = [["-c", "x"], ["--config=x"], ["-o", "json"], ["-ojson"], ["--lang", "zh"], ["--debug"]]


@given(st.permutations(GLOBALS), st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_global_options_stand_anywhere(options: list[list[str]], places: list[int]) -> None:
    verb = ["runs", "list", "--limit=3"]
    words = [
        word
        for at in range(4)
        for part in [*(o for o, p in zip(options, places, strict=True) if p == at), verb[at : at + 1]]
        for word in part
    ]
    front = hoisted(words)
    assert front[-3:] == verb
    assert sorted(front[:-3]) == sorted(word for option in options for word in option)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ["serve"]),
        (["--roles", "timer"], ["serve", "--roles", "timer"]),
        (["-o", "json"], ["-o", "json", "serve"]),
        (["--help"], ["--help"]),
        (["submit", "x", "--", "-o"], ["submit", "x", "--", "-o"]),
        (["stats", "-o"], ["-o", "stats"]),
    ],
)
def test_without_a_verb_it_serves(words: list[str], expected: list[str]) -> None:
    assert hoisted(words) == expected


def test_the_version(desk: Any) -> None:
    assert desk("--version").stdout.strip() == scheduler.__version__
