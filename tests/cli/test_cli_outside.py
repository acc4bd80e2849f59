"""run.py as a process: with a Python that has not what it needs, and on a terminal that cannot show everything."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "run.py"


def test_outside_the_virtual_environment_one_line_says_the_cure() -> None:
    # -S: without the packages that are installed.
    done = subprocess.run([sys.executable, "-S", RUN, "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith(f"{sys.executable}: No module named ")
    assert line.endswith("Cure: `make run` once, or `source .venv/bin/activate`")


def test_an_older_python_can_read_it() -> None:
    ast.parse(RUN.read_text(encoding="utf-8"), feature_version=(3, 6))


@pytest.mark.parametrize(("encoding", "lang", "words"), [("gbk", "en_US.UTF-8", ["check"]), ("ascii", "zh_CN.UTF-8", ["-h"])])
def test_a_terminal_that_is_not_utf_8_gets_a_question_mark(encoding: str, lang: str, words: list[str], tmp_path: Path) -> None:
    (tmp_path / "env.yaml").write_text("scheduler: {tasks: tasks.yaml}\n")
    (tmp_path / "tasks.yaml").write_text("tasks: {greet: {trigger: none}}\n")
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "greet.py").write_text("def run(): ...\n")
    environ = os.environ | {"PYTHONIOENCODING": encoding, "LC_ALL": lang}
    done = subprocess.run([sys.executable, RUN, *words], cwd=tmp_path, env=environ, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"?" in done.stdout
