"""Text from strangers (results, errors, log messages) made harmless for terminals and log files."""

import re

# C0 and C1 controls, line separators, bidirectional overrides, lone surrogates: they move the cursor, forge lines or break UTF-8.
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_PASSWORD = re.compile(r"(://[^/:@\s]*):[^\s]*@")
_SECRET_OPTION = re.compile(r"((?:password|passwd|token|secret)=)[^&\s]*", re.IGNORECASE)


def one_line(text: str, limit: int = 0) -> str:
    """``text`` with control characters spelled out as in a Python literal, cut to ``limit`` characters with ``…`` (0: not cut)."""
    if limit and len(text) > limit:
        text = text[: limit - 1] + "…"
    return UNSAFE.sub(lambda match: repr(match[0])[1:-1], text)


def indented(text: str) -> str:
    """Several lines, each safe and indented, so that none of them can pass for a log line of its own."""
    return "\n".join("    " + one_line(line) for line in text.split("\n"))


def json_escape(text: str) -> str:
    """JSON text with the characters escaped that JSON allows raw and terminals obey; the value stays the same."""
    return UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def mask_url(url: str) -> str:
    """``url`` without its secrets: ``redis://:***@host:6379/0``."""
    return _SECRET_OPTION.sub(r"\1***", _PASSWORD.sub(r"\1:***@", url))
