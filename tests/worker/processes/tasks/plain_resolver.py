"""A resolver as the plugins package has one, without its rules: ``module:function`` from a folder on sys.path."""

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def use_folder(path: Path) -> None:
    if not path.is_dir():
        raise NotADirectoryError(str(path))
    sys.path.append(str(path))


def forbid_forks(path: Path) -> None:
    """In the fork server: as when the system has no more processes."""

    def fork() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    use_folder(path)
    os.fork = fork


def resolve(target: str) -> Callable[..., Any]:
    module, _, name = target.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found
