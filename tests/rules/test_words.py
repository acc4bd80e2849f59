"""One word for one thing; nothing left over; nothing that belongs to somebody's machine."""

import ast
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from scheduler.core.states import State

# Each pattern is spelt so that it does not find itself.
LEFTOVERS = re.compile(r"\b(T[O]DO|F[I]XME|X[X]X|H[A]CK)\b|\bfor[ ]now\b|NotImplemented[E]rror")
OUTDATED = re.compile(r"\b(black|white)[-_ ]?[l]ist|\b(maste[r]|slav[e])s?\b", re.IGNORECASE)
PLACES = re.compile(r"(?<![\w.])/(work|farm|root|opt)/[a-z.]|[.]librar[y]\b")
INDEXES = re.compile(r"https?://\S+/(simple|packages)/|^--(extra-)?index-url|pypi[.]org|pythonhosted[.]org|npmjs[.]org")
SUPPRESSION = re.compile(r"#\s*(noqa|type:\s*ignore)(?P<codes>:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*|\[[\w\-, ]+\])?(?P<reason>.*)$")
MAY_SLEEP = ("tests/faults/", "tests/e2e/")  # besides every conftest.py: there foreign processes are awaited
OTHER_STATES = ("scheduler/compat/", "scheduler/store/")  # the states of older interfaces, and of servers
# Sentinel's protocol and client know no other word for its primary.
SENTINEL = ("scheduler/store/", "scheduler/core/address.py", "tests/store/", "tests/core/test_address.py")


def none(found: list[str]) -> None:
    """Unlike a comparison with an empty list it shows all of them."""
    assert not found, "\n" + "\n".join(found)


def python(sources: list[Any]) -> list[Any]:
    return [source for source in sources if source.path.endswith(".py")]


@pytest.mark.parametrize("banned", [LEFTOVERS, OUTDATED, PLACES, INDEXES], ids=["leftovers", "outdated words", "machine paths", "indexes"])
def test_no_line_holds_what_is_banned(banned: re.Pattern[str], sources: list[Any]) -> None:
    ours = [source for source in sources if banned is not OUTDATED or not source.inside(*SENTINEL)]
    lines = [(place, line) for source in ours for place, line in source.lines]
    none([f"{place} {line.strip()[:100]}" for place, line in lines if banned.search(line)])


def unexplained(line: str) -> bool:
    """True for a suppression without a code, or without a reason after it."""
    found = SUPPRESSION.search(line)
    return bool(found) and (not found["codes"] or len(found["reason"].strip(" #-–—:.")) < 3)


def test_suppressions_say_why(sources: list[Any]) -> None:
    ours = [source for source in python(sources) if not source.inside("tests/rules/")]
    none([f"{place} {line.strip()}" for source in ours for place, line in source.lines if unexplained(line)])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("x = 1  # noqa", True),
        ("x = 1  # noqa: E501", True),
        ("x = 1  # noqa: E501  a table reads better wide", False),
        ("x = y  # type: ignore[attr-defined]", True),
        ("x = y  # type: ignore[attr-defined]  # the library is untyped here", False),
        ("x = 1  # plain", False),
    ],
)
def test_the_rule_on_suppressions_itself(line: str, expected: bool) -> None:
    assert unexplained(line) is expected


def sleeps(tree: ast.Module) -> Iterator[int]:
    """Lines that reach for time.sleep, by attribute or by import."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and node.attr == "sleep"
            and isinstance(node.value, ast.Name)
            and node.value.id in {"time", "clock"}
        ):
            yield node.lineno
        if isinstance(node, ast.ImportFrom) and node.module == "time" and "sleep" in {a.name for a in node.names}:
            yield node.lineno


def test_tests_do_not_sleep(sources: list[Any]) -> None:
    """A task module that tests run may sleep: there it is the work. A test waits for what it waits for."""
    tests = [s for s in sources if re.match(r"tests/(.*/)?test_\w+\.py$", s.path) and not s.inside(*MAY_SLEEP)]
    none([f"{source.path}:{line}" for source in tests for line in sleeps(source.tree)])


def is_state(node: ast.AST) -> bool:
    return getattr(node, "id", getattr(node, "attr", getattr(node, "arg", ""))) == "state"


def places_of_states(tree: ast.Module) -> Iterator[ast.expr]:
    """What is compared with, assigned to or passed as ``state``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and is_state(node.left):
            yield from node.comparators
        elif (isinstance(node, ast.Assign) and any(map(is_state, node.targets))) or (isinstance(node, ast.keyword) and is_state(node)):
            yield node.value


def words(node: ast.expr) -> Iterator[ast.Constant]:
    """The string constants that an expression can be, or is a collection of."""
    parts: Iterable[ast.expr] = ()
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node
    elif isinstance(node, ast.Tuple | ast.List | ast.Set):
        parts = node.elts
    elif isinstance(node, ast.IfExp):
        parts = (node.body, node.orelse)
    elif isinstance(node, ast.BoolOp):
        parts = node.values
    for part in parts:
        yield from words(part)


def test_runs_know_one_set_of_states(package: list[Any]) -> None:
    ours = [source for source in package if not source.inside(*OTHER_STATES)]
    found = [(source.path, word) for source in ours for place in places_of_states(source.tree) for word in words(place)]
    none([f"{path}:{word.lineno} {word.value!r}" for path, word in found if word.value not in {*State, ""}])


def test_lua_knows_the_same_states(scripts: list[Any]) -> None:
    written = re.compile(r"'HSET',[^\n]*'state',\s*'(\w+)'|\bstate\s*[=~]=?\s*'(\w+)'")
    found = [(script.path, stored or compared) for script in scripts for stored, compared in written.findall(script.text)]
    assert found
    none([f"{path} {word!r}" for path, word in found if word not in set(State)])
