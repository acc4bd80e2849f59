"""From nodes to plain data: ``${NAME}``, ``${NAME:-default}`` and ``${file:/path}`` expanded, unquoted words given their type."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from scheduler.settings import nodes
from scheduler.settings.environment import Variables
from scheduler.settings.nodes import Problem, Scalar
from scheduler.settings.scalars import NULLS, PlainError, plain_value

_EXPANSION = re.compile(r"\$\$(?=\{)|\$\{(?:file:([^{}]+)|([A-Za-z_]\w*)(:-[^{}]*)?)\}|\$\{")
_FREE = frozenset({"params", "args", "rules"})  # what lies below is the user's: no model gives it types


class Expanded(str):
    """Text that came from the environment or a secret file: number and boolean fields read it, messages never show it."""

    __slots__ = ()


class Values:
    """Turns nodes into data, and records a problem for each word that has no one meaning and each name that is not set."""

    def __init__(self, variables: Variables, base: Path, problems: list[Problem]) -> None:
        self._variables, self._base, self._problems = variables, base, problems

    def of(self, node: nodes.Node, *, free: bool = False) -> Any:
        """The data of ``node``: dict, list, text, number, bool or None; ``free``: no model will look at it."""
        if isinstance(node, Scalar):
            return self._scalar(node, free)
        if isinstance(node, nodes.Sequence):
            return [self.of(item, free=free) for item in node.items]
        return {key: self.of(child, free=free or key in _FREE) for key, (_, child) in node.items.items()}

    def _scalar(self, node: Scalar, free: bool) -> Any:
        if node.literal or "${" in node.text:
            return self._from_outside(node, free)
        if not node.plain:
            return node.text
        try:
            return plain_value(node.text, strict=free)
        except PlainError as error:
            self._problems.append(Problem(node.place, str(error)))
            return node.text

    def _from_outside(self, node: Scalar, free: bool) -> Any:
        text = node.text if node.literal else self._expanded(node)
        if node.plain and text in NULLS:
            return None
        if node.plain and free:
            with suppress(PlainError):  # what is ambiguous is text, for nobody could quote it
                return plain_value(text, strict=True)
        return Expanded(text)

    def _expanded(self, node: Scalar) -> str:
        """The text of ``node`` with its names replaced; names that are not set are one problem, listed together."""
        missing: list[str] = []
        text = _EXPANSION.sub(lambda match: self._replacement(match, node, missing), node.text)
        if missing:
            verb = "is" if len(missing) == 1 else "are"
            cure = "set it in the environment or in .env beside env.yaml, or give a default: ${NAME:-default}"
            self._problems.append(Problem(node.place, f"{', '.join(missing)} {verb} not set; {cure}"))
        return text

    def _replacement(self, match: re.Match[str], node: Scalar, missing: list[str]) -> str:
        file, name, default = match.groups()
        if match[0] == "$$":
            return "$"
        if file:
            return self._secret(file, node)
        if not name:
            message = "${ must begin ${NAME}, ${NAME:-default} or ${file:/path}; $${ stands for ${ itself"
            self._problems.append(Problem(node.place, message))
            return ""
        variable = self._variables.get(name)
        if default and not (variable and variable.value):  # as in the shell, :- also replaces an empty value
            return str(default[2:])
        if variable is None:
            missing.append(name)
        return variable.value if variable else ""

    def _secret(self, file: str, node: Scalar) -> str:
        try:
            return (self._base / file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            self._problems.append(Problem(node.place, f"${{file:{file}}} cannot be read: {reason}"))
            return ""
