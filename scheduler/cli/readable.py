"""Facts as YAML that people like to read: what has several lines stands on several lines."""

from collections.abc import Mapping
from typing import Any

import yaml

from scheduler.observe.safe_text import one_line


class _Dumper(yaml.SafeDumper):
    """Control characters of strangers come out escaped, so no text can steer the terminal."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    if "\n" not in text:
        return dumper.represent_str(text)
    lines = [
        one_line(line.expandtabs(4)).rstrip() for line in text.split("\n")
    ]  # YAML has no block with tabs, controls or spaces at an end
    return dumper.represent_scalar("tag:yaml.org,2002:str", "\n".join(lines), style="|")


_Dumper.add_representer(str, _text)


def readable(facts: Mapping[str, Any]) -> str:
    return yaml.dump(dict(facts), Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=10_000)
