"""Where the time of `brain up --once` goes, on the synthetic sample in a fresh BRAIN_HOME.

    python bench/up.py

Starts `brain up --once` on free ports, as a user would, and reads from its output when each part was ready and from
Dagit how long each step took. Prints a table, then one JSON line. Exits 1 when the build fails, when it takes 180 s
or more, or when starting the processes takes a third of it or more.
"""

import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from brain_cli.dagster_client import DagsterClient
from brain_core.errors import StartupError
from brain_core.settings import child_environment

BRAIN = str(Path(sys.executable).parent / "brain")
PORTS = ("SERVING", "DAGSTER", "MLFLOW", "DASHBOARD")
TARGET_S = 180.0
TARGET_STARTUP_SHARE = 1 / 3
STEPS = """{ runsOrError { ... on Runs { results { jobName startTime endTime creationTime
    stepStats { stepKey startTime endTime } } } } }"""


def main() -> int:
    """Run the benchmark."""
    with tempfile.TemporaryDirectory(prefix="brain-", dir="/tmp", ignore_cleanup_errors=True) as home:
        figures = measure(Path(home))
    table = Table("what", "seconds")
    for name, seconds in {**figures["ready_s"], **figures["steps_s"]}.items():
        table.add_row(name, f"{seconds:.1f}")
    table.add_row("all", f"{figures['total_s']:.1f}")
    Console().print(table)
    print(json.dumps(figures))
    is_fast = figures["total_s"] < TARGET_S and figures["startup_share"] < TARGET_STARTUP_SHARE
    return 0 if figures["exit_code"] == 0 and is_fast else 1


def measure(home: Path) -> dict[str, Any]:
    """Build once and gather the figures."""
    ports = {name: _free_port() for name in PORTS}
    environment = {f"BRAIN_{name}__PORT": str(port) for name, port in ports.items()} | {"BRAIN_HOME": str(home)}
    client = DagsterClient(f"http://127.0.0.1:{ports['DAGSTER']}")
    started = time.monotonic()
    with (home / "output.txt").open("wb") as output:
        process = subprocess.Popen([BRAIN, "up", "--once"], env=child_environment(**environment), stdout=output)
        ready_s: dict[str, float] = {}
        steps_s: dict[str, float] = {}
        while process.poll() is None:
            time.sleep(0.5)
            for name in _ready(home / "output.txt"):
                ready_s.setdefault(f"ready: {name}", time.monotonic() - started)
            if "ready: Dagit" in ready_s:
                steps_s = _steps(client) or steps_s
    total_s = time.monotonic() - started
    startup_s = max(ready_s.values(), default=total_s)
    return {
        "total_s": total_s,
        "startup_s": startup_s,
        "startup_share": startup_s / total_s,
        "ready_s": ready_s,
        "steps_s": dict(sorted(steps_s.items(), key=lambda item: -item[1])),
        "exit_code": process.returncode,
    }


def _ready(output: Path) -> list[str]:
    return re.findall(r"^  (\S[\w ]*) is ready", output.read_text(errors="replace"), re.MULTILINE)


def _steps(client: DagsterClient) -> dict[str, float]:
    try:
        runs = client._query(STEPS)["runsOrError"]["results"]
    except StartupError:
        return {}
    found: dict[str, float] = {}
    for run in runs:
        if run["startTime"]:
            found[f"{run['jobName']}: waits for its process"] = run["startTime"] - run["creationTime"]
        for step in run["stepStats"]:
            if step["startTime"] and step["endTime"]:
                found[f"{run['jobName']}: {step['stepKey']}"] = step["endTime"] - step["startTime"]
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
