"""Starts one instance for the fault runs: ``instance.py ENV_YAML READY_FILE ROLE…``; the ready file then holds its name."""

import logging
import os
import sys
from pathlib import Path

from scheduler.center import SchedulerCenter
from scheduler.service import Service


def main(config: str, ready: str, *roles: str) -> int:
    logging.basicConfig(level=os.environ.get("FAULTS_LOG", "INFO"), format="%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s")
    center = SchedulerCenter(config)
    service = Service(center, roles)
    service.start()
    Path(ready).write_text(center.instance)
    return service.run()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
