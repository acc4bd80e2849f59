"""YAML text as a tree of nodes that know their place; refuses duplicate keys, tags, and texts built to exhaust the reader."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from scheduler.settings.scalars import PlainError, plain_value

MAX_BYTES = 1_000_000
MAX_DEPTH = 50
MAX_ALIASES = 100
MAX_COPIED = 100_000  # values that aliases may stand for: nine levels of nine aliases would be 43 million

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml reads ten times faster, where PyYAML was built with it


class Place(NamedTuple):
    """Where something is written: file, line and column from 1. Line 0: the source has no lines (an environment variable)."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


class Problem(NamedTuple):
    """One mistake and its place; printed as ``file:line:col: message``."""

    place: Place
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


def end_of(text: str, source: str) -> Place:
    """The place right after ``text``, with which ``source`` begins."""
    return Place(source, text.count("\n") + 1, len(text) - text.rfind("\n"))


def not_utf_8(error: UnicodeDecodeError, file: Path) -> Problem:
    """Where the first byte is that no UTF-8 text has there."""
    return Problem(end_of(error.object[: error.start].decode(), str(file)), "the file is not UTF-8 text; save it as UTF-8")


@dataclass(slots=True)
class Scalar:
    """A single value as written. ``plain``: without quotes. ``literal``: from the environment, where nothing is expanded."""

    place: Place
    text: str
    plain: bool = True
    literal: bool = False


@dataclass(slots=True)
class Sequence:
    """A list."""

    place: Place
    items: list["Node"]


@dataclass(slots=True)
class Mapping:
    """Keys with the place of each key and its value."""

    place: Place
    items: dict[str, tuple[Place, "Node"]]


Node = Scalar | Sequence | Mapping


def compose(text: str, source: str, problems: list[Problem]) -> Node | None:
    """The tree of ``text``, of an empty one an empty mapping; None where a problem (recorded) ends the reading."""
    if found := yaml.reader.Reader.NON_PRINTABLE.search(text):
        place = end_of(text[: found.start()], source)
        problems.append(Problem(place, f"not valid YAML: the control character {found[0]!r} is not allowed"))
        return None
    try:
        return _Composer(text, source, problems).document()
    except _StopReadingError as stop:
        problems.append(Problem(*stop.args))
    except yaml.MarkedYAMLError as error:
        problems.append(_syntax_problem(error, text, source))
    return None


class _StopReadingError(Exception):
    """Carries the problem that ends the reading."""


class _Composer:
    def __init__(self, text: str, source: str, problems: list[Problem]) -> None:
        self.events = yaml.parse(text, Loader=_LOADER)
        self.source, self.problems = source, problems
        self.anchors: dict[str, Node] = {}
        self.aliases = self.copied = 0

    def document(self) -> Node:
        next(self.events)
        if isinstance(next(self.events), yaml.StreamEndEvent):
            return Mapping(Place(self.source, 1, 1), {})
        node = self._node(next(self.events), 1)
        next(self.events)
        event = next(self.events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise _StopReadingError(self._place(event), "a second document begins here; one file holds one document")
        return node

    def _place(self, event: Any) -> Place:
        return Place(self.source, event.start_mark.line + 1, event.start_mark.column + 1)

    def _until(self, end: type) -> Iterator[Any]:
        while not isinstance(event := next(self.events), end):
            yield event

    def _node(self, event: Any, depth: int) -> Node:
        place = self._place(event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event.anchor, place, depth)
        if depth > MAX_DEPTH:
            raise _StopReadingError(place, f"nested more than {MAX_DEPTH} levels deep; at most {MAX_DEPTH} are allowed")
        if event.tag is not None:
            self.problems.append(
                Problem(
                    place,
                    f"the YAML tag {event.tag} is not allowed; write the value without a tag; a text that begins with ! must be quoted",
                )
            )
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = Scalar(place, event.value, event.implicit[0])
        elif isinstance(event, yaml.SequenceStartEvent):
            items = [self._node(item, depth + 1) for item in self._until(yaml.SequenceEndEvent)]
            node = Sequence(place, items)
        else:
            node = self._mapping(place, depth)
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def _alias(self, anchor: str | None, place: Place, depth: int) -> Node:
        if anchor is None or anchor not in self.anchors:
            raise _StopReadingError(
                place, f"*{anchor}: no anchor &{anchor} is complete before this place; a text that begins with * must be quoted"
            )
        node = self.anchors[anchor]
        self.aliases += 1
        for level in _levels(node, depth):
            self.copied += 1
            if self.aliases > MAX_ALIASES or self.copied > MAX_COPIED:
                message = f"too many aliases: at most {MAX_ALIASES}, standing for at most {MAX_COPIED} values, are allowed"
                raise _StopReadingError(place, message)
            if level > MAX_DEPTH:
                raise _StopReadingError(place, f"aliases nest more than {MAX_DEPTH} levels deep; at most {MAX_DEPTH} are allowed")
        return node

    def _mapping(self, place: Place, depth: int) -> Mapping:
        items: dict[str, tuple[Place, Node]] = {}
        merged: list[tuple[Place, Node]] = []
        for event in self._until(yaml.MappingEndEvent):
            where, key = self._place(event), self._key(event, depth)
            value = self._node(next(self.events), depth + 1)
            if key in items:
                self.problems.append(Problem(where, f'duplicate key "{key}": first at line {items[key][0].line}, again here; keep one'))
            elif key == "<<":
                merged.append((where, value))
            elif key is not None:
                items[key] = (where, value)
        for where, value in merged:
            self._merge(items, where, value)
        return Mapping(place, items)

    def _key(self, event: Any, depth: int) -> str | None:
        """The text of a key; None (and a problem) for what YAML would not read as text."""
        if not isinstance(event, yaml.ScalarEvent):
            node = self._node(event, depth + 1)
            self.problems.append(Problem(node.place, "a key must be plain text"))
            return None
        key = str(event.value)
        if event.implicit[0] and not _is_text(key):
            message = f'the key {key} is not read as text by every YAML reader; quote it: "{key}"'
            self.problems.append(Problem(self._place(event), message))
            return None
        return key

    def _merge(self, items: dict[str, tuple[Place, Node]], where: Place, value: Node) -> None:
        """``<<: *base``: what the mapping does not say itself comes from ``base``; of several, the first that says it."""
        for source in value.items if isinstance(value, Sequence) else [value]:
            if isinstance(source, Mapping):
                items.update({**source.items, **items})
            else:
                self.problems.append(Problem(where, "<< must be followed by an alias of a mapping, or a list of such aliases"))


def _levels(node: Node, depth: int) -> Iterator[int]:
    """The depth of every value in ``node``, itself the first."""
    yield depth
    if not isinstance(node, Scalar):
        for child in node.items if isinstance(node, Sequence) else [value for _, value in node.items.values()]:
            yield from _levels(child, depth + 1)


def _is_text(key: str) -> bool:
    try:
        return isinstance(plain_value(key), str)
    except PlainError:
        return False


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, source: str) -> Problem:
    begun = str(error.context).endswith((" alias", " anchor", " key"))  # there the problem is found behind it
    mark: Any = (error.context_mark if begun else error.problem_mark) or error.context_mark
    here = "".join(text.splitlines()[mark.line : mark.line + 1])
    sign = here[mark.column : mark.column + 1]
    message = f"not valid YAML: {error.problem or error.context}"
    if sign == "\t":
        message = "not valid YAML: a tab cannot indent; use spaces"
    elif sign in ("@", "`", "%", "*", "&"):
        told = re.match(r"[^,}\]#]*", here[mark.column :])
        message = f'not valid YAML: a text that begins with {sign} must be quoted: "{told[0].strip() if told else sign}"'
    elif "${" in here:
        message += "; inside { } or [ ] put quotes around a text with ${…}"
    elif begun and re.match(r"\w+:\S", here[mark.column :]):
        message += "; a space belongs after the colon"
    elif "mapping values" in message:
        message += '; quote a text that contains ": "'
    elif error.context and error.context_mark:
        message += f", {error.context} that begins at line {error.context_mark.line + 1}"
    return Problem(Place(source, mark.line + 1, mark.column + 1), message)
