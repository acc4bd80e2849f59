"""The types of configuration values: what a text may say, and what to tell who wrote something else."""

import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from math import inf
from pathlib import Path
from typing import Annotated, Any, ClassVar
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    SecretStr,
    ValidationInfo,
    model_validator,
)
from pydantic.config import ConfigDict

from scheduler.core.ids import NAME
from scheduler.core.units import duration_ms, size_bytes
from scheduler.settings.nearest import did_you_mean
from scheduler.settings.values import Expanded

_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_DURATIONS = 'seconds as a number, or a text such as "30s", "5m", "1h30m", "1d"'


def _add_aliases(schema: dict[str, Any], model: "type[Section]") -> None:
    """Let the JSON Schema of a model accept the older names of its fields too."""
    for alias, name in model.aliases().items():
        schema["properties"].setdefault(alias, {**schema["properties"][name], "deprecated": True})


class Section(BaseModel):
    """A mapping of known keys. ``hints``: wrong names that people bring along, and what to write instead."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        defer_build=True,
        validate_default=True,
        use_attribute_docstrings=True,
        json_schema_extra=_add_aliases,
        hide_input_in_errors=True,
    )
    hints: ClassVar[dict[str, str]] = {}

    @classmethod
    def aliases(cls) -> dict[str, str]:
        """Every name of the fields that have several → the field."""
        fields = cls.model_fields.items()
        return {choice: name for name, field in fields for choice in getattr(field.validation_alias, "choices", ())}

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_the_default(cls, data: object) -> object:
        """``web:`` or ``queues:`` with nothing after it: all that could stand there is commented out."""
        if isinstance(data, dict):
            optional = {name for name, field in cls.model_fields.items() if not field.is_required()}
            return {key: value for key, value in data.items() if value is not None or key not in optional}
        return {} if data is None else data


def empty() -> Any:
    """A section that is not written: empty, so that its own defaults are validated, in context, when it is needed."""
    return Field(default_factory=dict)


class SecretUrl(SecretStr):
    """An address whose printed form hides user, password and query: ``redis://***@host:6379/0``."""

    def _display(self) -> str:
        return masked(self.get_secret_value())


def masked(text: str) -> str:
    """``text`` without what an address in it may hide: all up to the last ``@``, and the query."""
    return re.sub(r"\?\S*", "?***", re.sub(r"(?<=://)\S*@", "***@", text))


def number(low: int, high: int | None = None, *, whole: bool = True) -> PlainValidator:
    """A number from ``low`` to ``high`` (None: no upper bound), by default a whole one."""
    kind: Any = int if whole else float
    bounds = f"from {low} to {high}" if high is not None else f"of at least {low}"

    def check(value: Any) -> Any:
        with suppress(ValueError):
            value = kind(value) if isinstance(value, Expanded) else value
        if type(value) in (int, kind) and low <= value <= (inf if high is None else high):
            return value
        raise ValueError(f"must be a {'whole ' if whole else ''}number {bounds}")

    return PlainValidator(check, json_schema_input_type=Annotated[kind, Field(ge=low, le=high)])


def text_like(pattern: str, must: str, known: Iterable[str] = ()) -> BeforeValidator:
    """A text that fits ``pattern``; ``must`` tells what that means, ``known`` are words or schemes that may have been meant."""

    def check(value: object) -> object:
        if isinstance(value, str) and not re.fullmatch(pattern, value):
            raise ValueError(must + did_you_mean(value.partition("://")[0], known))
        return value

    return BeforeValidator(check, json_schema_input_type=Annotated[str, Field(pattern=f"^({pattern})$")])


def url(*schemes: str, words: tuple[str, ...] = ()) -> BeforeValidator:
    """An address that begins with one of ``schemes``, or is one of ``words``."""
    allowed = ", ".join((*words, *(f"{scheme}://" for scheme in schemes)))
    pattern = "|".join((*words, *(f"{re.escape(scheme)}://.*" for scheme in schemes)))
    return text_like(pattern, f"must begin with one of {allowed}", (*schemes, *words))


def _flag(value: object) -> object:
    return _BOOLEANS.get(value.lower(), value) if isinstance(value, Expanded) else value


def _meant(value: object, units: str) -> str:
    """``5min`` or ``5M`` → ``"; did you mean 5m?"``."""
    match = None if isinstance(value, Expanded) else re.fullmatch(r"(\d+)\s*([A-Za-z])\w*", str(value))
    unit = next((unit for unit in units.split() if match and unit[0].lower() == match[2].lower()), "")
    return f"; did you mean {match[1]}{unit}?" if match and unit else ""


def _duration(value: object) -> timedelta:
    with suppress(ValueError, OverflowError):
        return value if isinstance(value, timedelta) else timedelta(milliseconds=duration_ms(value))
    raise ValueError(f"must be a duration: {_DURATIONS}, less than 10^12 s{_meant(value, 's m h d w')}")


def _some_time(value: object) -> timedelta:
    if duration := _duration(value):
        return duration
    raise ValueError(f"must be longer than 0: {_DURATIONS}")


def _a_second(value: timedelta) -> timedelta:
    if value < timedelta(seconds=1):
        raise ValueError("must be at least 1s: a lease is renewed several times before it ends")
    return value


def _bearable(value: int) -> int:
    if 0 < value < 32 * 2**20:
        raise ValueError("must be at least 32MiB, less than which no Python lives with, or 0: no bound")
    return value


def _size(value: object) -> int:
    with suppress(ValueError):
        return size_bytes(value)
    raise ValueError(f"must be a size: bytes as a number, or a text such as 512MiB, 2GiB, 10GB{_meant(value, 'KiB MiB GiB TiB')}")


def names(value: object) -> object:
    """A list; one text is a list of one, and a text from the environment is split at commas."""
    if isinstance(value, Expanded):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _zone(value: object) -> object:
    try:
        return ZoneInfo(value).key if isinstance(value, str) else value
    except (ValueError, OSError, KeyError):  # ZoneInfo tells unknown names, odd characters and folders in three ways
        message = "must be a time zone of the IANA database, such as Asia/Shanghai, Europe/Berlin or UTC"
        raise ValueError(message + did_you_mean(str(value), available_timezones())) from None


def _folder(value: object, info: ValidationInfo) -> object:
    """Relative paths are below the folder of env.yaml, given as the context ``base``."""
    base: Path = (info.context or {}).get("base", Path())
    return base / Path(value).expanduser() if isinstance(value, str | Path) and str(value).strip() else value


def seconds(value: timedelta) -> float:
    """Seconds as people write them: 30 rather than 30.0."""
    whole = value.total_seconds()
    return int(whole) if whole.is_integer() else whole


_TIME: Any = Annotated[float, Field(ge=0)] | Annotated[str, Field(pattern=r"^(\s*\d+(\.\d+)?\s*(ms|s|m|h|d|w)?)+$")]
_SECONDS = PlainSerializer(seconds, return_type=Any, when_used="json-unless-none")

Flag = Annotated[bool, BeforeValidator(_flag)]
Duration = Annotated[timedelta, PlainValidator(_duration, json_schema_input_type=_TIME), _SECONDS]
SomeTime = Annotated[timedelta, PlainValidator(_some_time, json_schema_input_type=_TIME), _SECONDS]
Size = Annotated[int, PlainValidator(_size, json_schema_input_type=Annotated[int, Field(ge=0)] | str)]
Lease = Annotated[SomeTime, AfterValidator(_a_second)]
Memory = Annotated[Size, AfterValidator(_bearable)]
Filled = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[Filled, ...], BeforeValidator(names, json_schema_input_type=str | list[str])]
Name = Annotated[str, text_like(NAME.pattern, "must be a name: 1 to 64 of a-z, 0-9, _, . and -, beginning with a letter, a digit or _")]
Zone = Annotated[str, BeforeValidator(_zone)]
Folder = Annotated[Path, BeforeValidator(_folder, json_schema_input_type=str)]
