"""JSON Schemas of env.yaml and of the task files, so that editors complete and check them."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import SecretStr
from pydantic.json_schema import GenerateJsonSchema

from scheduler.settings.env import Env
from scheduler.settings.fields import seconds
from scheduler.settings.task import TaskFile

Kind = Literal["env", "tasks"]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_EXPANDED = {"type": "string", "pattern": r"\$\{", "description": "a text with ${NAME}, ${NAME:-default} or ${file:/path} in it"}
_TYPED = ("integer", "number", "boolean")


class _Generator(GenerateJsonSchema):
    def encode_default(self, dft: Any) -> Any:
        """Defaults as people write them; a default is no secret."""
        if isinstance(dft, timedelta):
            return seconds(dft)
        if isinstance(dft, SecretStr):
            return dft.get_secret_value()
        return super().encode_default(dft)


def json_schema(kind: Kind) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of env.yaml or of a task file."""
    title, model = ("env.yaml", Env) if kind == "env" else ("tasks", TaskFile)
    schema = _expandable(model.model_json_schema(schema_generator=_Generator))
    return {"$schema": _DRAFT, "title": title, **schema, "$defs": {"expanded": _EXPANDED, **schema["$defs"]}}


def write_schemas(folder: Path) -> None:
    """``env.schema.json`` and ``tasks.schema.json``, to which the shipped YAML files point."""
    for kind in get_args(Kind):
        text = json.dumps(json_schema(kind), indent=2, ensure_ascii=False)
        (folder / f"{kind}.schema.json").write_text(text + "\n", encoding="utf-8")


def _expandable(schema: Any) -> Any:
    """The schema in which every number, boolean, choice and text of a certain form may also be a text with ``${NAME}`` in it."""
    if isinstance(schema, list):
        return [_expandable(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: _expandable(part) for key, part in schema.items() if key != "title" or not isinstance(part, str)}
    if "patternProperties" in schema:  # of names that users choose: no others are names
        schema["additionalProperties"] = False
    if "pattern" in schema:
        schema["pattern"] += rf"|{_EXPANDED['pattern']}"
    if schema.get("type") not in _TYPED and "enum" not in schema:
        return schema
    told = {key: schema.pop(key) for key in ("description", "default", "deprecated") if key in schema}
    return {"anyOf": [schema, {"$ref": "#/$defs/expanded"}], **told}
