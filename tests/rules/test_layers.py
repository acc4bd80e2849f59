"""Who may import whom, and what an import may cost."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SERVER_SIDE = {"apscheduler", "fastapi", "httpx", "limits", "pydantic", "redis", "starlette", "uvicorn"}
HEAVY = {
    "scheduler": SERVER_SIDE | {"asyncio", "hiredis", "prometheus_client", "psutil", "rich", "structlog", "typer", "yaml"},
    "scheduler.core.decide": SERVER_SIDE | {"asyncio", "logging", "socket", "yaml"},
    "scheduler.worker.zygote": SERVER_SIDE | {"hiredis", "prometheus_client", "psutil", "rich", "structlog", "typer"},
    "scheduler.cli": SERVER_SIDE,
}


def loaded_by(module: str, root: Path) -> set[str]:
    """Top-level names of the modules that a fresh interpreter holds after importing ``module``."""
    code = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    # Without coverage's own start-up hook: what it imports would count as ours.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_layers_hold(root: Path) -> None:
    linter = "from importlinter.cli import lint_imports_command as lint; lint(['--no-cache'])"
    done = subprocess.run([sys.executable, "-c", linter], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", HEAVY)
def test_imports_stay_cheap(module: str, root: Path) -> None:
    assert loaded_by(module, root) & HEAVY[module] == set()
