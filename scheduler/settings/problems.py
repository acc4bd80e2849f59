"""What pydantic found wrong, told as the people who wrote the file need it: place, value, what is allowed, nearest name."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeVar, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from scheduler.settings import nodes
from scheduler.settings.fields import Section, masked
from scheduler.settings.nearest import did_you_mean, nearest
from scheduler.settings.nodes import Node, Place, Problem, Scalar
from scheduler.settings.scalars import YES_NO

_Model = TypeVar("_Model", bound=Section)
_SECRET = re.compile(r"url|secret|password|token|webhook")
_MAX_SHOWN = 60
_FEW = 12  # keys that are listed even where the nearest is known
_MUST = {
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "must be letters, digits and _ only, at most 40",
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping: keys with values",
    "model_type": "must be a mapping: keys with values",
    "list_type": "must be a list",
    "tuple_type": "must be a text or a list of texts",
    "is_instance_of": "must be a path",
}


class Found(NamedTuple):
    """The end of a walk into a tree: the place of the last key there is, its node, the keys asked for, and whether all are there."""

    key: Place
    node: Node
    path: str
    all: bool

    @property
    def place(self) -> Place:
        """Of the value where it is a single one, of its key where it is a mapping or list."""
        return self.node.place if isinstance(self.node, Scalar) else self.key


def find(tree: Node, keys: tuple[object, ...], place: Place | None = None) -> Found:
    """The node at ``keys``, or its nearest parent. ``place`` is that of the key that holds ``tree``."""
    key_place, node, path, complete = place or tree.place, tree, "", True
    for key in keys:
        if isinstance(node, nodes.Mapping) and isinstance(key, str) and key in node.items:
            key_place, node = node.items[key]
            path = f"{path}.{key}".lstrip(".")
        elif isinstance(node, nodes.Sequence) and isinstance(key, int) and key < len(node.items):
            node = node.items[key]
            key_place, path = node.place, f"{path}[{key + 1}]"
        elif isinstance(key, str):  # an index that is not there: a single value that stands for a list of one
            path, complete = f"{path}.{key}".lstrip("."), False
    return Found(key_place, node, path or "the file", complete)


def validate(
    model: type[_Model], data: object, tree: Node, problems: list[Problem], context: Mapping[str, Any] | None = None
) -> _Model | None:
    """``data`` as ``model``; or None, with a problem for each mistake that has not been told of already."""
    try:
        return model.model_validate(data, context=dict(context or {}))
    except ValidationError as error:
        told = {problem.place for problem in problems}
        found = [_problem(detail, model, tree) for detail in error.errors(include_url=False, include_input=False)]
        problems += [problem for problem in found if problem.place not in told]
    return None


def _problem(detail: ErrorDetails, model: type[Section], tree: Node) -> Problem:
    kind, keys = detail["type"], detail["loc"]
    found = find(tree, keys)
    if kind == "extra_forbidden":
        return Problem(found.key, f"{found.path}: {_unknown_key(str(keys[-1]), model_at(model, keys[:-1]))}")
    if kind == "missing":
        return Problem(found.key, f"{found.path} is missing; it has no default")
    if keys and keys[-1] == "[key]":
        return Problem(found.key, f'{find(tree, keys[:-2]).path}: "{keys[-2]}" {_must(detail, found)}')
    hides = not found.all or (kind == "value_error" and not isinstance(found.node, Scalar))
    return Problem(found.place, f"{found.path} {'' if hides else _shown(found)}{_must(detail, found)}")


def _unknown_key(key: str, model: type[Section]) -> str:
    aliases = model.aliases()
    if key in aliases:
        return f'"{key}" is another name of "{aliases[key]}", which is written too; keep one'
    known = sorted(model.model_fields)
    hint = model.hints.get(key) or nearest(key, [*known, *aliases])
    listed = "" if hint and len(known) > _FEW else f"; known here: {', '.join(known)}"
    odd = ", ".join(unicodedata.name(sign, ascii(sign)) for sign in key if not sign.isascii())
    return f'unknown key "{key}"' + (f" ({key!a}: it has {odd})" if odd else "") + (f"; did you mean {hint}?" if hint else "") + listed


def model_at(model: type[Section], keys: tuple[object, ...]) -> type[Section]:
    """The model that judges the mapping at ``keys``; where users choose the names, the model of the values."""
    rest = iter(keys)
    for key in rest:
        if field := model.model_fields.get(model.aliases().get(str(key), str(key))):
            model = next(_models_in(field.annotation), model)
            if get_origin(field.annotation) is dict:
                next(rest, None)
    return model


def _models_in(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _must(detail: ErrorDetails, found: Found) -> str:
    context, node = detail.get("ctx", {}), found.node
    if detail["type"] == "value_error":
        return str(context["error"])
    if detail["type"] == "literal_error":
        allowed = re.findall(r"'([^']*)'", str(context["expected"]))
        hint = did_you_mean(node.text, allowed) if isinstance(node, Scalar) and not node.literal else ""
        return f"must be one of {', '.join(allowed)}{hint}"
    cure = ""
    if detail["type"] in ("model_type", "dict_type") and isinstance(node, Scalar) and re.match(r"\w+:", node.text):
        cure = "; a space belongs after the colon"
    if detail["type"] == "string_type" and isinstance(node, Scalar) and node.plain and node.text and "${" not in node.text:
        cure = f'; quote it: "{node.text}"'
    return _MUST.get(detail["type"], detail["msg"]) + cure


def _shown(found: Found) -> str:
    """The value as it stands in the file, never as it was expanded; nothing where it may be a secret."""
    node = found.node
    if not isinstance(node, Scalar):
        return "is a mapping; it " if isinstance(node, nodes.Mapping) else "is a list; it "
    if node.literal or _SECRET.search(found.path.rpartition(".")[2]):
        return ""
    if node.plain and node.text in YES_NO:
        return f"is {node.text}, which YAML 1.1 reads as true or false; it "
    text = masked(node.text if len(node.text) <= _MAX_SHOWN else f"{node.text[:_MAX_SHOWN]}…")
    return f"is {text or 'empty'}; it " if node.plain else f'is "{text}"; it '
