from pathlib import Path
from typing import Any

import pytest

from scheduler.core.errors import PluginError
from scheduler.plugins.folder import PluginFolder, digest
from scheduler.plugins.probe import probe


def test_names_are_the_plugins_and_not_their_helpers(plugins: Any) -> None:
    for name in ("a.py", "_helper.py", "pkg/__init__.py", "data/x.json", "note.txt"):
        plugins.write(name)
    assert PluginFolder(plugins.path).names() == ["a", "pkg"]
    assert PluginFolder(plugins.path / "missing").names() == []


def test_sources(plugins: Any) -> None:
    file, init, part = plugins.write("a.py"), plugins.write("pkg/__init__.py"), plugins.write("pkg/part.py")
    plugins.write("data/x.json")
    plugins.write("data.py")
    folder = PluginFolder(plugins.path)
    assert folder.sources("a") == [file]
    assert folder.sources("pkg.part") == folder.sources("pkg") == [init, part]
    assert folder.sources("data") == [plugins.path / "data.py"]
    assert folder.sources("nothing") == []


def test_files_are_shown_as_people_know_them(plugins: Any, tmp_path: Path) -> None:
    folder = PluginFolder(plugins.path)
    assert folder.shown(plugins.path / "a.py") == "plugins/a.py"
    assert folder.shown(tmp_path / "else.py") == str(tmp_path / "else.py")
    assert folder.holds(None) is False


@pytest.mark.parametrize("what", [".", "pkg", "pkg/__init__.py", "pkg/deep", "pkg/deep/x.py"])
def test_what_others_may_write_is_refused(plugins: Any, what: str) -> None:
    plugins.write("pkg/__init__.py")
    plugins.write("pkg/deep/x.py")
    path = plugins.path / what
    path.chmod(path.stat().st_mode | 0o002)
    with pytest.raises(PluginError, match=rf"may be written by every user .*mode 07?[67]?[0-7]+.*chmod o-w {path}"):
        PluginFolder(plugins.path).require_trusted("pkg.deep.x")
    PluginFolder(plugins.path, allow_writable=True).require_trusted("pkg.deep.x")


def test_a_writable_neighbour_breaks_only_itself(plugins: Any) -> None:
    plugins.write("good.py")
    bad = plugins.write("bad.py")
    bad.chmod(0o666)
    found = probe({"good": "good", "bad": "bad"}, plugins.path)
    assert (found["good"].ok, found["bad"].ok) == (True, False)
    assert found["bad"].error == (
        f"{bad} may be written by every user of this machine (mode 0666), who could run code as you: chmod o-w {bad}"
    )
    assert probe({"bad": "bad"}, plugins.path, allow_writable=True)["bad"].ok


def test_a_writable_folder_breaks_all(plugins: Any) -> None:
    plugins.write("a.py")
    plugins.path.chmod(0o777)
    assert "chmod o-w" in probe({"a": "a"}, plugins.path)["a"].error


def test_links_out_of_the_folder_are_refused(plugins: Any, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "evil.py").write_text("def run(): ...")
    plugins.write("pkg/__init__.py")
    (plugins.path / "file.py").symlink_to(outside / "evil.py")
    (plugins.path / "folder").symlink_to(outside)
    (plugins.path / "pkg" / "inner").symlink_to(outside)
    for task, found in probe({"f": "file", "d": "folder.evil", "i": "pkg.inner.evil"}, plugins.path).items():
        assert not found.ok, task
        assert "outside of" in found.error, found.error
        assert "copy the file into the folder" in found.error


def test_links_inside_and_a_linked_folder_are_fine(plugins: Any, tmp_path: Path) -> None:
    plugins.write("real.py", "def run(): ...")
    (plugins.path / "alias.py").symlink_to("real.py")
    (plugins.path / "dangling.py").symlink_to("nowhere.py")
    linked = tmp_path / "current"
    linked.symlink_to(plugins.path)
    found = probe({"r": "real", "a": "alias", "d": "dangling"}, linked)
    assert [found[name].ok for name in "rad"] == [True, True, False]
    assert "there is no plugin 'dangling'" in found["d"].error


def test_the_digest_sees_names_contents_and_where_one_file_ends(tmp_path: Path) -> None:
    a, b = tmp_path / "a.py", tmp_path / "b.py"
    a.write_bytes(b"12")
    b.write_bytes(b"3")
    first = digest([a, b])
    a.write_bytes(b"1")
    b.write_bytes(b"23")
    assert digest([a, b]) != first
    assert digest([a]) != digest([a.rename(tmp_path / "c.py")])
    assert digest([]) == ""
    assert len(first) == 12
