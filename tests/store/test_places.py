"""The directories of the embedded store: private, ours, and with a socket path that the kernel takes."""

import errno
import os
import stat
from pathlib import Path

import pytest

from scheduler.core.errors import StoreError
from scheduler.store import locks
from scheduler.store.embedded import EmbeddedServer
from scheduler.store.places import MAX_SOCKET_PATH, Places

NO_LOCKS = [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS]


@pytest.fixture
def deep(directory: Path) -> Places:
    places = Places(directory / ("d" * 100))
    places.prepare()
    return places


@pytest.fixture(autouse=True)
def runtime(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    runtime = directory / "run"
    runtime.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    return runtime


def test_two_names_of_one_place_are_one_place(directory: Path) -> None:
    (directory / "link").symlink_to(directory / "data")
    assert Places(directory / "link").store == Places(directory / "x" / ".." / "data").store


def test_rights_that_were_opened_are_closed_again(directory: Path) -> None:
    places = Places(directory)
    places.prepare()
    places.store.chmod(0o775)
    places.prepare()
    assert stat.S_IMODE(places.store.stat().st_mode) == 0o700


def test_the_longest_path_that_fits_stays_near(directory: Path) -> None:
    room = MAX_SOCKET_PATH - len(os.fsencode(directory.resolve())) - len("//store/store.sock")
    near, far = Places(directory / ("d" * room)), Places(directory / ("d" * (room + 1)))
    far.prepare()
    assert len(os.fsencode(near.socket())) == MAX_SOCKET_PATH
    assert near.socket().parent == near.store
    assert far.socket().parent.name.startswith("scheduler-")


def test_each_data_directory_has_its_own_short_one(deep: Places, directory: Path, runtime: Path) -> None:
    other = Places(directory / ("e" * 100))
    other.prepare()
    assert deep.socket() == deep.socket() != other.socket()
    assert deep.socket().parent.parent == runtime
    assert stat.S_IMODE(deep.socket().parent.stat().st_mode) == 0o700


def test_without_a_runtime_directory_the_temporary_one_serves(deep: Places, monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    for unusable in ("", "relative", "/nowhere/at/all", str(directory / ("r" * 100))):
        monkeypatch.setenv("XDG_RUNTIME_DIR", unusable)
        socket = deep.socket()
        assert len(os.fsencode(socket)) <= MAX_SOCKET_PATH
        socket.parent.rmdir()


def test_a_symbolic_link_that_was_put_there_is_refused(deep: Places, directory: Path) -> None:
    place = deep.socket().parent
    place.rmdir()
    (directory / "trap").mkdir()
    place.symlink_to(directory / "trap")
    with pytest.raises(StoreError, match="is not a directory"):
        deep.socket()


def test_a_directory_that_is_open_to_others_is_refused(deep: Places) -> None:
    place = deep.socket().parent
    place.chmod(0o755)
    with pytest.raises(StoreError, match="open to other users"):
        deep.socket()


def test_a_directory_of_another_user_is_refused(deep: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with pytest.raises(StoreError, match=rf"belongs to user {os.getuid()}, this process is user 4242"):
        deep.prepare()


@pytest.mark.parametrize(
    ("code", "told"),
    [*((code, "put redis.data_dir on a local disk: this file system has no file locks") for code in NO_LOCKS), (errno.EIO, "read the log")],
)
def test_a_file_system_without_locks_is_told(code: int, told: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    with pytest.raises(StoreError, match=rf"not usable: \[Errno {code}\] .*Cure: {told}"):
        EmbeddedServer(directory).start()
