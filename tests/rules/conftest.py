"""What the house rules look at: the repository's files as text, and the package's modules as syntax trees."""

import ast
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Source(NamedTuple):
    """One file of the repository; ``path`` is relative to its root."""

    path: str
    text: str

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def lines(self) -> list[tuple[str, str]]:
        """``path:number`` and the text of each line."""
        return [(f"{self.path}:{number}", line) for number, line in enumerate(self.text.splitlines(), 1)]

    def inside(self, *folders: str) -> bool:
        return self.path.startswith(folders)


def _paths() -> list[str]:
    """Everything that is committed, and what would be with the next commit."""
    command = ["git", "-c", "safe.directory=*", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return sorted(set(filter(None, listed.split("\0"))))


def _read(path: str) -> Source | None:
    try:
        return Source(path, (ROOT / path).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, FileNotFoundError):  # a picture; a file that is deleted but still in the index
        return None


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def sources() -> list[Source]:
    """Every text file of the repository."""
    found = [source for path in _paths() if (source := _read(path))]
    assert len(found) > 20, "the rules must see the repository"
    return found


@pytest.fixture(scope="session")
def package(sources: list[Source]) -> list[Source]:
    """The Python modules of scheduler/."""
    return [source for source in sources if source.inside("scheduler/") and source.path.endswith(".py")]


@pytest.fixture(scope="session")
def scripts(sources: list[Source]) -> list[Source]:
    """The Lua files of scheduler/."""
    return [source for source in sources if source.inside("scheduler/") and source.path.endswith(".lua")]
