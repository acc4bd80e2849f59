"""The lock files hold what pyproject.toml asks for, with hashes, and agree with each other."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PIN = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^\s;]+)(?P<rest>(?:.*\\\n)*.*)$", re.MULTILINE)
LOCKS = {"requirements.lock": (), "requirements-test.lock": ("test",)}


def pins(lock: Path) -> dict[str, set[str]]:
    """Names and the versions they are pinned to; one name has several where the Python version decides."""
    found: dict[str, set[str]] = {}
    for pin in PIN.finditer(lock.read_text()):
        found.setdefault(canonicalize_name(pin["name"]), set()).add(pin["version"])
    return found


def asked(root: Path, extras: tuple[str, ...]) -> list[Requirement]:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    lines = sum((project["optional-dependencies"][extra] for extra in extras), project["dependencies"])
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("name", LOCKS)
def test_locks_hold_what_is_asked_for(name: str, root: Path) -> None:
    locked = pins(root / name)
    stale = [str(r) for r in asked(root, LOCKS[name]) if not any(map(r.specifier.contains, locked.get(canonicalize_name(r.name), ())))]
    assert not stale, f"`make lock` again: {name} lacks {stale}"


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_its_hashes(name: str, root: Path) -> None:
    found = list(PIN.finditer((root / name).read_text()))
    assert len(found) > 20
    assert [pin["name"] for pin in found if "--hash=sha256:" not in pin["rest"]] == []


def test_the_tests_run_on_what_is_shipped(root: Path) -> None:
    shipped, tested = pins(root / "requirements.lock"), pins(root / "requirements-test.lock")
    assert {name: versions for name, versions in shipped.items() if tested.get(name) != versions} == {}
