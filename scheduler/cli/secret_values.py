"""The secrets in the settings, so that logs can be kept clean of them."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BaseModel, SecretStr

from scheduler.observe.masking import SecretFilter
from scheduler.settings import Settings
from scheduler.settings.fields import SecretUrl


def mask_for(settings: Settings) -> SecretFilter:
    """Masks every password and every secret text of the configuration."""
    return SecretFilter({secret for field in fields(settings) for secret in _secrets(getattr(settings, field.name))})


def _secrets(value: object) -> Iterator[str]:
    if isinstance(value, SecretUrl):  # as a whole it is no secret: only what opens it
        parts = urlsplit(value.get_secret_value())
        yield unquote(parts.netloc.rpartition("@")[0].partition(":")[2])
        yield from (text for name, text in parse_qsl(parts.query) if name.endswith("password"))
    elif isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, BaseModel | Mapping):
        yield from (secret for part in dict(value).values() for secret in _secrets(part))
