"""An environment of its own for each group of systems, made when it is first needed and again when its pins change."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Environment(NamedTuple):
    """A folder and the exact packages in it; no packages: the environment this program runs in."""

    folder: Path
    packages: tuple[str, ...] = ()
    node: bool = False

    @property
    def python(self) -> Path:
        return Path(sys.executable) if self.node or not self.packages else self.folder / "bin" / "python"

    @property
    def bin(self) -> Path:
        return self.python.parent

    @property
    def missing(self) -> str:
        """Why it cannot be made here; empty when it can."""
        return "node and npm are not installed" if self.node and not (shutil.which("node") and shutil.which("npm")) else ""

    def make(self) -> None:
        stamp, pins = self.folder / "pins.txt", "\n".join(self.packages)
        if not pins or (stamp.exists() and stamp.read_text() == pins):
            return
        print(f"making {self.folder.name}: {', '.join(self.packages)}", flush=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.node:
            self.folder.mkdir()
            subprocess.run(
                [shutil.which("npm") or "npm", "install", "--prefix", self.folder, "--silent", "--no-audit", "--no-fund", *self.packages],
                check=True,
            )
        else:
            subprocess.run([sys.executable, "-m", "venv", self.folder], check=True)
            subprocess.run([self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *self.packages], check=True)
        stamp.write_text(pins)


PEERS = (
    "celery==5.7.0",
    "packaging==26.3",  # its Redis transport imports it without asking for it
    "dramatiq[redis]==2.2.1",
    "huey==3.5.4",
    "taskiq==0.13.0",
    "taskiq-redis==1.2.4",
    "rq==3.0.0",
    "APScheduler==3.11.3",
    "redis==8.1.0",
    "hiredis==3.5.0",
    "uvloop==0.23.0",
)
ENVIRONMENTS = {
    "ours": Environment(ROOT / ".venv"),
    "peers": Environment(ROOT / ".venv-bench", PEERS),
    "arq": Environment(ROOT / ".venv-bench-arq", ("arq==0.28.0", "hiredis==3.5.0", "uvloop==0.23.0")),  # it wants redis < 6
    "node": Environment(ROOT / ".bench-node", ("bullmq@6.7.0", "ioredis@6.0.0"), node=True),
}
