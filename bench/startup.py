"""Where the start of the platform goes: seconds until each part is ready, processor seconds and peak memory of each.

    python bench/startup.py

Starts all parts as `brain up` does, without a build, in a fresh BRAIN_HOME on free ports: once fresh, once again on
what the first start left. With `PYTHONPYCACHEPREFIX=/tmp/empty-folder` before it, it shows the very first start after
an installation, when Python has yet to compile everything. Prints a table a start, then one JSON line.
"""

import json
import os
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from brain_cli.platform import running_platform
from brain_cli.processes import tree_of
from brain_cli.record import PartRecord, read_record
from brain_core.settings import load_settings

PORTS = ("serving", "dagster", "mlflow", "dashboard")
SAMPLE_INTERVAL_S = 0.5


class TreeWatch(threading.Thread):
    """Samples the processes of each part, which `platform.json` names, while they start."""

    def __init__(self, home: Path) -> None:
        super().__init__(daemon=True)
        self._home = home
        self._done = threading.Event()
        self._cpu_s: dict[str, dict[int, float]] = {}
        self.peak_mib: dict[str, float] = {}

    def run(self) -> None:
        """Sample until stopped."""
        while not self._done.wait(SAMPLE_INTERVAL_S):
            self.sample()

    def sample(self) -> None:
        """Look once."""
        record = read_record(self._home)
        for part in record.parts if record else ():
            process = part.process.find()
            self._note(part.name, tree_of(process) if process else [])

    def stop(self) -> None:
        """Take no more samples."""
        self.sample()
        self._done.set()

    def cpu_s(self, part: str) -> float:
        """Processor time of a part and all that it started, also of what ended meanwhile."""
        return sum(self._cpu_s.get(part, {}).values())

    def _note(self, part: str, tree: list[psutil.Process]) -> None:
        size_mib = 0.0
        for process in tree:
            try:
                times, memory = process.cpu_times(), process.memory_full_info()
            except psutil.Error:
                continue
            self._cpu_s.setdefault(part, {})[process.pid] = times.user + times.system
            size_mib += memory.uss / 2**20
        self.peak_mib[part] = max(self.peak_mib.get(part, 0.0), size_mib)


def main() -> None:
    """Run the benchmark."""
    figures: dict[str, Any] = {"cores": os.cpu_count(), "load_before": round(os.getloadavg()[0], 1)}
    # Short, since a Unix socket lies in it.
    with tempfile.TemporaryDirectory(prefix="brain-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        for name in ("fresh", "again"):
            figures[name] = measure(Path(folder))
            show(name, figures[name])
    print(json.dumps(figures))


def measure(home: Path) -> dict[str, Any]:
    """Start everything on `home` and stop it again."""
    settings = load_settings(home=home, **{name: {"port": _free_port()} for name in PORTS})
    watch = TreeWatch(home)
    watch.start()
    own_before_s, started_at = time.thread_time(), time.time()
    with running_platform(settings, lambda _: None) as platform:
        ready_s = time.time() - started_at
        watch.stop()
        own_s = time.thread_time() - own_before_s
        parts = {part.name: _figures(part, started_at, watch) for part in platform.supervisor.records()}
        stopping_at = time.time()
    total_cpu_s = own_s + sum(part["cpu_s"] for part in parts.values())
    return {
        "ready_s": round(ready_s, 1),
        "stop_s": round(time.time() - stopping_at, 1),
        "cpu_s": round(total_cpu_s, 1),
        "memory_mib": round(sum(part["peak_mib"] for part in parts.values())),
        "supervisor_cpu_s": round(own_s, 1),
        "parts": parts,
    }


def show(name: str, figures: dict[str, Any]) -> None:
    """Print the table of one start."""
    title = f"{name}: all ready after {figures['ready_s']} s, stopped in {figures['stop_s']} s"
    table = Table("part", "started after s", "ready after s", "processor s", "peak MiB", title=title)
    for part, row in figures["parts"].items():
        table.add_row(part, *(str(row[column]) for column in ("started_s", "ready_s", "cpu_s", "peak_mib")))
    table.add_row("(supervisor)", "0", "", str(figures["supervisor_cpu_s"]), "")
    table.add_row("sum", "", str(figures["ready_s"]), str(figures["cpu_s"]), str(figures["memory_mib"]))
    Console().print(table)


def _figures(part: PartRecord, started_at: float, watch: TreeWatch) -> dict[str, float]:
    return {
        "started_s": round(part.process.created_at - started_at, 1),
        "ready_s": round((part.ready_at or time.time()) - started_at, 1),
        "cpu_s": round(watch.cpu_s(part.name), 1),
        "peak_mib": round(watch.peak_mib.get(part.name, 0.0)),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
