"""The plugin folder: which files a module name means, whether they may be trusted, and the hash of their content."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from stat import S_IMODE, S_IWOTH

from scheduler.core.errors import PluginError


class PluginFolder:
    """A folder of plugins: ``name.py`` files and ``name/`` packages. The folder itself may be a symlink, its content must stay inside."""

    def __init__(self, path: Path, *, allow_writable: bool = False) -> None:
        self.path = path.resolve()
        self._allow_writable = allow_writable

    def names(self) -> list[str]:
        """The plugins that are there, sorted; files that begin with ``_`` are helpers."""
        if not self.path.is_dir():
            return []
        found = {entry.stem for entry in self.path.iterdir() if entry.suffix == ".py" or (entry / "__init__.py").is_file()}
        return sorted(name for name in found if not name.startswith(("_", ".")))

    def sources(self, module: str) -> list[Path]:
        """All source files of the plugin that ``module`` belongs to; [] when the folder has none of this name."""
        top = self.path / module.partition(".")[0]
        if top.is_dir() and (package := sorted(file for file in top.rglob("*.py") if file.is_file())):
            return package
        file = top.with_name(f"{top.name}.py")
        return [file] if file.is_file() else []

    def require_trusted(self, module: str) -> None:
        """Refuse (PluginError) what others may write, and links that lead out of the folder: both run foreign code as this user."""
        for path in self._entries(module):
            if not self.holds(path):
                raise PluginError(f"{path} leads to {path.resolve()}, outside of {self.path}: copy the file into the folder")
            mode = S_IMODE(path.stat().st_mode)
            if mode & S_IWOTH and not self._allow_writable:
                raise PluginError(
                    f"{path} may be written by every user of this machine (mode {mode:04o}), who could run code as you: chmod o-w {path}"
                )

    def shown(self, path: str | Path) -> str:
        """``path`` as people know it: ``plugins/data_sync.py`` for a file of this folder."""
        return str(Path(path).relative_to(self.path.parent)) if self.holds(path) else str(path)

    def holds(self, path: str | Path | None) -> bool:
        return path is not None and Path(path).resolve().is_relative_to(self.path)

    def _entries(self, module: str) -> Iterator[Path]:
        """The folder itself, and every directory, source file and link of the plugin."""
        yield self.path
        yield from self.sources(module)
        top = self.path / module.partition(".")[0]
        if top.is_dir():
            yield top
            yield from (entry for entry in top.rglob("*") if entry.exists() and (entry.is_dir() or entry.is_symlink()))


def digest(files: Iterable[Path]) -> str:
    """The first 12 hex digits of the SHA-256 over names and contents; '' for no files."""
    total = None
    for path in files:
        total = total or hashlib.sha256()
        content = path.read_bytes()
        total.update(f"{path.name}:{len(content)}:".encode() + content)
    return total.hexdigest()[:12] if total else ""
