"""Small files, small functions, a small package; each file says what it is for."""

import ast
import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

FILE_LINES = 300
FUNCTION_LINES = 45
CODE_LINES = 13_250  # of the package without blank lines, comments and docstrings; the goal is 8,000 (docs/decisions.md)
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def length(source: Any) -> int:
    return len(source.text.splitlines())


def functions(source: Any) -> Iterator[Function]:
    return (node for node in ast.walk(source.tree) if isinstance(node, Function))


def size(function: Function) -> int:
    first = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
    return (function.end_lineno or first) - first + 1


def is_shared(script: Any) -> bool:
    return PurePath(script.path).name.startswith("_")


def declares_its_call(script: Any) -> bool:
    """A verb opens with ``--[[ name: …`` and then says keys, args, returns and flags."""
    header = script.text.partition("\n]]")[0]
    verb = PurePath(script.path).stem
    return header.startswith(f"--[[ {verb}: ") and re.findall(r"^(\w+):", header, re.MULTILINE) == ["keys", "args", "returns", "flags"]


def test_files_stay_readable(package: list[Any], scripts: list[Any]) -> None:
    assert {s.path: length(s) for s in package + scripts if length(s) > FILE_LINES} == {}


def test_functions_stay_readable(package: list[Any]) -> None:
    assert {f"{s.path}:{f.lineno} {f.name}": size(f) for s in package for f in functions(s) if size(f) > FUNCTION_LINES} == {}


def code_lines(source: Any) -> int:
    """Lines that a machine would miss: no blank ones, no comments, no docstrings."""
    if source.path.endswith(".lua"):
        text = re.sub(r"--\[\[.*?\]\]", "", source.text, flags=re.DOTALL)
        return sum(1 for line in text.splitlines() if line.strip() and not line.strip().startswith("--"))
    words = {
        number for node in ast.walk(source.tree) if (doc := docstring(node)) for number in range(doc.lineno, (doc.end_lineno or 0) + 1)
    }
    lines = enumerate(source.text.splitlines(), 1)
    return sum(1 for number, line in lines if number not in words and line.strip() and not line.strip().startswith("#"))


def docstring(node: ast.AST) -> ast.Expr | None:
    body = getattr(node, "body", None)
    first = body[0] if isinstance(body, list) and body else None
    named = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    return first if named and isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) else None


def test_the_package_stays_small(package: list[Any], scripts: list[Any]) -> None:
    assert sum(code_lines(s) for s in package + scripts) < CODE_LINES


def test_every_module_says_what_it_is_for(sources: list[Any]) -> None:
    ours = [s for s in sources if s.path.endswith(".py") and (s.inside("scheduler/", "plugins/", "benchmarks/") or "/" not in s.path)]
    assert [s.path for s in ours if s.text.strip() and not ast.get_docstring(s.tree)] == []


def test_no_file_is_named_for_nothing(sources: list[Any]) -> None:
    assert [s.path for s in sources if PurePath(s.path).stem in VAGUE_NAMES] == []


def test_every_lua_verb_declares_its_call(scripts: list[Any]) -> None:
    verbs = [s for s in scripts if not is_shared(s)]
    assert verbs
    assert [s.path for s in verbs if not declares_its_call(s)] == []


def test_every_shared_lua_file_says_what_it_is_for(scripts: list[Any]) -> None:
    assert [s.path for s in scripts if is_shared(s) and not s.text.startswith("-- ")] == []
