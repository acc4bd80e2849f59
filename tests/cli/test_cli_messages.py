"""Errors and findings in Chinese: whatever the package says to people through the command line is known there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import scheduler
from scheduler.cli.messages import translate_message
from scheduler.cli.words import chinese

PACKAGE = Path(scheduler.__file__).parent
SPEAKING = [
    *(file for part in ("settings", "store", "triggers", "plugins") for file in sorted((PACKAGE / part).glob("*.py"))),
    *(PACKAGE / name for name in ("catalogue.py", "center.py", "intake.py", "web/server.py", "observe/logs.py", "gpu/inventory.py")),
    *(PACKAGE / "cli" / name for name in ("facts.py", "runs.py", "submit.py", "session.py", "serve.py", "new.py")),
]
VALUE = "‹1›"
PROSE = re.compile(r"\b[a-z]+ [a-z]{2,}\b")  # two words of English in a row; a name or a value is one
TO_LOGS = {"debug", "info", "warning", "error", "exception", "log"}
HELP = {"Argument", "Option", "Typer", "compile"}
ELSEWHERE = {"describe.py", "schema.py"}  # has both languages; speaks to editors
PIECES = {  # of messages that are known as a whole: see below
    "of at least",
    "must be a ‹1›number",
    "‹1› not set",
    "‹1› this machine",
    "timeout in a ‹1›",
    "a server",
    "a bound",
    "last fri",  # what may be written there
    "pip install",
    "comes with a later version; allowed are default",
}
FOR_MACHINES = {
    "no space left",  # what to look for in other programs' words
    "no locks available",
    "bad file format",
    "rdb format version",
    "cannot allocate memory",
    "permission denied",
    "not a directory",
    "does not (answer",
    "max number of",
    "protected mode",
    "Authentication required",
    "closed by server",
    "Written anew at",  # the embedded server's configuration
    "mapping values",
    "appendonly yes",  # settings of the server, as they are written
    "maxmemory-policy noeviction",
}


def texts(file: Path) -> Iterator[tuple[int, str]]:
    """Every text of a module that may reach people, its values replaced by ``VALUE``."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    silent: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):  # a docstring
            silent.add(id(node.value))
        name = getattr(node.func, "attr", getattr(node.func, "id", "")) if isinstance(node, ast.Call) else ""
        if name in TO_LOGS | HELP or isinstance(node, ast.JoinedStr):
            silent |= {id(child) for child in ast.walk(node) if child is not node}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) and id(node) not in silent:
            yield node.lineno, "".join(part.value if isinstance(part, ast.Constant) else VALUE for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent:
            yield node.lineno, node.value


def known(text: str) -> bool:
    """Whether it is no prose, or translated where it is said."""
    named = any(words in text for words in FOR_MACHINES | PIECES) or text in chinese()
    return named or not text.strip() or {word.removesuffix("_ms").replace("_", " ") for word in text.split()} <= {*chinese(), "id"}


@pytest.mark.parametrize("file", [file for file in SPEAKING if file.name not in ELSEWHERE], ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_english_prose_is_left(file: Path) -> None:
    told = {text: translate_message(f" {text.replace('{detail}', VALUE)}", "zh") for _, text in texts(file) if not known(text)}
    left = [f"{text!r} → {words!r}" for text, words in told.items() if PROSE.search(words)]
    assert not left, "add the phrases to scheduler/cli/zh_messages.json:\n" + "\n".join(left)


@pytest.mark.parametrize(
    ("english", "told"),
    [
        (
            "e.yaml:1:2: worker.processes is -1; it must be a whole number from 0 to 1000",
            "e.yaml:1:2: worker.processes 是 -1；它必须是 0 到 1000 的整数",
        ),
        ("x is 0; it must be a whole number of at least 1", "x 是 0；它必须是不小于 1 的整数"),
        ("x is a; it must be a number from 0 to 1", "x 是 a；它必须是 0 到 1 的数"),
        ("x is a list; it must be a number of at least 0", "x 是列表；它必须是不小于 0 的数"),
        ("A, B are not set; set it in", "A, B 没有设置；set it in"),
        ("clock is 3s ahead of this machine, wanted: less than 2s apart. Cure: x", "clock is 3s（快于本机），应为 相差小于 2s。办法：x"),
        ("maxmemory is 0 (no bound), wanted: a bound. Cure: x", "maxmemory is 0 （没有上限），应设一个上限。办法：x"),
        (
            "a: timeout in a thread: code that does not return from C cannot be killed; executor: processpool can",
            "a: 线程中的 timeout：停在 C 代码里的任务杀不掉；用 executor: processpool 可以",
        ),
        (
            "a: timeout in a coroutine: code that does not return from C cannot be killed; executor: processpool can",
            "a: 协程中的 timeout：停在 C 代码里的任务杀不掉；用 executor: processpool 可以",
        ),
        ("Run abc is still pending", "Run abc 仍是 排队中"),
        ("no task named 'a b'; did you mean 'ab'?; known are: ab", "没有名为 'a b' 的任务；是不是 'ab'？；已知的有：ab"),
        (
            "no Run 'x': the id is wrong, or it ended so long ago that the live store let it go",
            "没有 Run 'x'：ID 不对，或它早已结束，存储不再保留它",
        ),
        (
            "plugins/x.py:1: No module named 'pandas'; install it where the centre runs",
            "plugins/x.py:1: No module named 'pandas'；请在调度中心运行的环境里安装它",
        ),
        ("{braces} of somebody: {0}", "{braces} of somebody: {0}"),
    ],
)
def test_whole_messages(english: str, told: str) -> None:
    assert translate_message(english, "zh") == told
    assert translate_message(english, "en") == english
