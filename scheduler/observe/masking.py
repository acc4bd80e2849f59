"""Known secret values are replaced in log records and captured output, wherever they stand."""

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

MASK = "***"
SHORTEST = 6  # shorter values stand in ordinary text by chance
RECORD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
"""What every record has of its own; everything else was given as ``extra``."""

_format_exception = logging.Formatter().formatException


class SecretFilter(logging.Filter):
    """Masks ``values`` of at least six characters, also where they are percent-encoded as in URLs. Put it on handlers.

    It rewrites the record itself: what one handler has masked, no later one shows.
    """

    def __init__(self, values: Iterable[str]) -> None:
        super().__init__()
        secrets = {value for value in values if len(value) >= SHORTEST}
        forms = secrets | {quote(value, safe="") for value in secrets}
        longest_first = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def mask(self, text: str) -> str:
        """``text`` with every secret replaced by ``***``."""
        return self._pattern.sub(MASK, text) if self._pattern else text

    def filter(self, record: logging.LogRecord) -> bool:
        if self._pattern is None:
            return True
        record.msg, record.args = self.mask(record.getMessage()), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = _format_exception(record.exc_info)
        if record.exc_text:
            record.exc_text, record.exc_info = self.mask(record.exc_text), None
        if record.stack_info:
            record.stack_info = self.mask(record.stack_info)
        for name in record.__dict__.keys() - RECORD_ATTRIBUTES:
            record.__dict__[name] = self._masked(record.__dict__[name])
        return True

    def _masked(self, value: Any) -> Any:
        """An extra of the record: numbers stay, containers are rebuilt, anything else is masked as its text."""
        if value is None or isinstance(value, int | float):
            return value
        if isinstance(value, Mapping):
            return {self.mask(str(key)): self._masked(each) for key, each in value.items()}
        if isinstance(value, list | tuple | set):
            return [self._masked(each) for each in value]
        return self.mask(str(value))
