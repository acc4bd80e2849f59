"""run.py with a Python that has not what it needs: one line with the cure, no traceback."""

import ast
import subprocess
import sys
from pathlib import Path

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
