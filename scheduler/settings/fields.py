"""The types of configuration values: what a text may say, and what to tell who wrote something else."""

import re
from dataclasses import dataclass
from datetime import timedelta
from math import inf
from pathlib import Path
from typing import Annotated, Any, ClassVar
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from scheduler.core.ids import NAME
from scheduler.core.units import duration_ms, size_bytes
from scheduler.settings.nearest import did_you_mean
from scheduler.settings.values import Expanded

_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def add_aliases(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Let the JSON Schema of a model accept the older names of its fields too."""
    for field in model.model_fields.values():
        if isinstance(field.validation_alias, AliasChoices):
            first, *others = field.validation_alias.choices
            for other in others:
                schema["properties"][other] = {**schema["properties"][first], "deprecated": True}


class Section(BaseModel):
    """A mapping of known keys. ``hints``: wrong names that people bring along, and what to write instead."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        defer_build=True,
        validate_default=True,
        use_attribute_docstrings=True,
        json_schema_extra=add_aliases,
        hide_input_in_errors=True,
    )
    hints: ClassVar[dict[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _empty_section(cls, data: object) -> object:
        return _nothing(data)  # ``web:`` with nothing below it: all is commented out


def empty() -> Any:
    """A section that is not written: empty, so that its own defaults are validated, in context, when it is needed."""
    return Field(default_factory=dict)


def _nothing(value: object) -> object:
    return {} if value is None else value


NothingIsEmpty = BeforeValidator(_nothing)  # ``params:`` with nothing after it


class SecretUrl(SecretStr):
    """An address whose printed form hides user, password and query: ``redis://***@host:6379/0``."""

    def _display(self) -> str:
        return masked(self.get_secret_value())


def masked(text: str) -> str:
    """``text`` without what an address in it may hide: all up to the last ``@``, and the query."""
    return re.sub(r"\?\S*", "?***", re.sub(r"(?<=://)\S*@", "***@", text))


@dataclass(frozen=True, slots=True)
class Number:
    """A number from ``low`` to ``high`` (None: no upper bound), by default a whole one."""

    low: int
    high: int | None = None
    whole: bool = True

    def check(self, value: Any) -> Any:
        number = self._read(value) if isinstance(value, Expanded) else value
        typed = isinstance(number, int if self.whole else int | float) and not isinstance(number, bool)
        if typed and self.low <= number <= (inf if self.high is None else self.high):
            return number
        raise ValueError(f"must be a {'whole ' if self.whole else ''}number {self._range()}")

    def _read(self, text: str) -> Any:
        try:
            return int(text) if self.whole else float(text)
        except ValueError:
            return text

    def _range(self) -> str:
        return f"from {self.low} to {self.high}" if self.high is not None else f"of at least {self.low}"

    def __get_pydantic_core_schema__(self, _source: object, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        top = {} if self.high is None else {"maximum": self.high}
        return {"type": "integer" if self.whole else "number", "minimum": self.low, **top}


@dataclass(frozen=True, slots=True)
class Url:
    """An address that begins with one of ``schemes``, or is one of ``words``."""

    schemes: tuple[str, ...]
    words: tuple[str, ...] = ()

    def check(self, value: object) -> object:
        if not isinstance(value, str) or value in self.words:
            return value
        scheme, separator, _ = value.partition("://")
        if separator and scheme in self.schemes:
            return value
        allowed = ", ".join((*self.words, *(f"{known}://" for known in self.schemes)))
        raise ValueError(f"must begin with one of {allowed}{did_you_mean(scheme, (*self.schemes, *self.words))}")

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        starts = [*(f"{re.escape(word)}$" for word in self.words), *(f"{re.escape(scheme)}://" for scheme in self.schemes), r".*\$\{"]
        return {"type": "string", "pattern": f"^({'|'.join(starts)})"}


def _flag(value: object) -> object:
    return _BOOLEANS.get(value.lower(), value) if isinstance(value, Expanded) else value


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    try:
        return timedelta(milliseconds=duration_ms(value))
    except (ValueError, OverflowError):
        raise ValueError('must be a duration: seconds as a number, or a text such as "30s", "5m", "1h30m", "1d"') from None


def _some_time(value: object) -> timedelta:
    duration = _duration(value)
    if not duration:
        raise ValueError('must be longer than 0: seconds as a number, or a text such as "30s", "5m", "1h30m", "1d"')
    return duration


def _size(value: object) -> int:
    try:
        return size_bytes(value)
    except ValueError:
        raise ValueError("must be a size: bytes as a number, or a text such as 512MiB, 2GiB, 10GB") from None


def names(value: object) -> object:
    """A list; one text is a list of one, and a text from the environment is split at commas."""
    if isinstance(value, Expanded):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError("must be a name: 1 to 64 of a-z, 0-9, _, . and -, beginning with a letter, a digit or _")
    return value


def _zone(value: str) -> str:
    try:
        return ZoneInfo(value).key
    except (ValueError, OSError, KeyError):  # ZoneInfo tells unknown names, odd characters and folders in three ways
        message = "must be a time zone of the IANA database, such as Asia/Shanghai, Europe/Berlin or UTC"
        raise ValueError(message + did_you_mean(value, available_timezones())) from None


def _folder(value: object, info: ValidationInfo) -> object:
    """Relative paths are below the folder of env.yaml, given as the context ``base``."""
    base: Path = (info.context or {}).get("base", Path())
    return base / Path(value).expanduser() if isinstance(value, str | Path) and str(value).strip() else value


def upper(value: object) -> object:
    """``info`` as well as ``INFO``."""
    return value.upper() if isinstance(value, str) else value


def seconds(value: timedelta) -> float:
    """Seconds as people write them: 30 rather than 30.0."""
    whole = value.total_seconds()
    return int(whole) if whole.is_integer() else whole


def any_of(*alternatives: dict[str, Any]) -> WithJsonSchema:
    """The JSON Schema of a value that may be written in several ways."""
    return WithJsonSchema({"anyOf": list(alternatives)})


_TIME = any_of({"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^(\s*\d+(\.\d+)?\s*(ms|s|m|h|d|w)?)+$|\$\{"})
_SECONDS = PlainSerializer(seconds, return_type=Any, when_used="json-unless-none")

Flag = Annotated[bool, BeforeValidator(_flag)]
Duration = Annotated[timedelta, PlainValidator(_duration), _SECONDS, _TIME]
SomeTime = Annotated[timedelta, PlainValidator(_some_time), _SECONDS, _TIME]
Size = Annotated[int, PlainValidator(_size), any_of({"type": "integer", "minimum": 0}, {"type": "string"})]
Filled = Annotated[str, StringConstraints(min_length=1)]
Names = Annotated[tuple[Filled, ...], BeforeValidator(names), any_of({"type": "string"}, {"type": "array", "items": {"type": "string"}})]
Name = Annotated[str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": rf"^{NAME.pattern}$|\$\{{"})]
Zone = Annotated[str, AfterValidator(_zone)]
Folder = Annotated[Path, BeforeValidator(_folder), WithJsonSchema({"type": "string"})]
