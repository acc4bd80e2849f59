"""Facts as YAML that people like to read: what has several lines stands on several lines."""

from collections.abc import Mapping
from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Control characters of strangers come out escaped, so no text can steer the terminal."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def readable(facts: Mapping[str, Any]) -> str:
    return yaml.dump(dict(facts), Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=10_000)
