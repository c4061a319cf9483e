"""First figures of the whole system on real MRI: build time, peak memory, accuracy, latency through the API.

    python bench/first_figures.py /path/to/data

The folder holds `brain-tumor-mri` (public layout, the source of the build) and `original-resolution` (class folders,
uploaded through the API). Starts `brain up` in a fresh BRAIN_HOME on free ports, as a user would.
Prints a table, then one JSON line. Exits 1 when the build fails or an upload gets no answer.
"""

import argparse
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from brain_core.client import BrainClient
from brain_core.errors import ApiError
from brain_core.labels import CLASSES, CONSENT_VERSION
from brain_core.settings import child_environment
from brain_core.storage import LocalBucket, asset_key, read_json

BRAIN = str(Path(sys.executable).parent / "brain")
PORTS = ("SERVING", "DAGSTER", "MLFLOW", "DASHBOARD")
RUNNING_LINE = "Ctrl-C stops everything"


class MemoryWatch(threading.Thread):
    """Samples the unique memory of a process and all its children once a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._root = psutil.Process(pid)
        self._done = threading.Event()
        self.peak_mib = 0.0
        self.peak_process_mib = 0.0

    def run(self) -> None:
        """Sample until stopped."""
        while not self._done.wait(1.0):
            sizes = [_unique_mib(process) for process in _tree(self._root)]
            self.peak_mib = max(self.peak_mib, sum(sizes))
            self.peak_process_mib = max([self.peak_process_mib, *sizes])

    def stop(self) -> None:
        """Take no more samples."""
        self._done.set()


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path)
    parser.add_argument("--home", type=Path, help="BRAIN_HOME to use; default: a fresh temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="brain-") as folder:
        figures = measure(options.data.resolve(), options.home or Path(folder))
    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, f"{value:.4f}" if isinstance(value, float) else str(value))
    Console().print(table)
    print(json.dumps(figures))
    return 0 if figures.get("uploads_answered") == figures.get("uploads") else 1


def measure(data: Path, home: Path) -> dict[str, Any]:
    """Build, upload, and gather all figures."""
    ports = {name: _free_port() for name in PORTS}
    environment = {f"BRAIN_{name}__PORT": str(port) for name, port in ports.items()}
    environment |= {"BRAIN_HOME": str(home), "BRAIN_SOURCE__URI": str(data / "brain-tumor-mri")}
    # The bundled model has seen these images; what is built here is to be judged.
    environment |= {"BRAIN_MODEL__BUNDLED": "false"}
    started = time.monotonic()
    with subprocess.Popen(
        [BRAIN, "up"], env=child_environment(**environment), stdout=subprocess.PIPE, text=True
    ) as process:
        watch = MemoryWatch(process.pid)
        watch.start()
        try:
            _wait_until_running(process)
            figures: dict[str, Any] = {"start_to_champion_s": time.monotonic() - started}
            figures |= {"peak_platform_mib": watch.peak_mib, "peak_process_mib": watch.peak_process_mib}
            figures |= _evaluation(home)
            figures |= _uploads(f"http://127.0.0.1:{ports['SERVING']}", data / "original-resolution")
        finally:
            watch.stop()
            process.terminate()
            process.wait(120)
    return figures


def _wait_until_running(process: "subprocess.Popen[str]") -> None:
    for line in process.stdout or ():
        sys.stderr.write(line)
        if RUNNING_LINE in line:
            return
    raise SystemExit(f"`brain up` ended with code {process.wait()} before the champion was there.")


def _evaluation(home: Path) -> dict[str, Any]:
    metrics = read_json(LocalBucket(home / "bucket"), asset_key("model_evaluation", "value.json"))["metrics"]
    wanted = ("accuracy", "balanced_accuracy", "macro_f1", "ece")
    figures: dict[str, Any] = {}
    for name in wanted:
        figure = metrics[name]
        figures[f"group_{name}"] = figure["value"] if isinstance(figure, dict) else figure
        if isinstance(figure, dict):
            figures[f"group_{name}_interval"] = [figure["low"], figure["high"]]
    return figures


def _uploads(api: str, folder: Path) -> dict[str, Any]:
    client = BrainClient(api, timeout_s=30.0)
    outcomes: Counter[str] = Counter()
    latencies_ms: list[float] = []
    paths = [(label, path) for label in CLASSES for path in sorted((folder / label).glob("*"))]
    for label, path in paths:
        data = path.read_bytes()
        begun = time.perf_counter()
        outcomes[_outcome(client, data, label)] += 1
        latencies_ms.append((time.perf_counter() - begun) * 1000)
    accepted = outcomes["right"] + outcomes["wrong"]
    return {
        "uploads": len(paths),
        "uploads_answered": accepted + outcomes["refused"],
        "uploads_refused_by_the_gate": outcomes["refused"],
        "upload_accuracy_of_accepted": outcomes["right"] / max(1, accepted),
        "api_p50_ms": statistics.median(latencies_ms),
        "api_p95_ms": statistics.quantiles(latencies_ms, n=20)[-1],
    }


def _outcome(client: BrainClient, data: bytes, label: str) -> str:
    try:
        prediction = client.predict(data, consent=True, consent_version=CONSENT_VERSION)
    except ApiError as exc:
        return "refused" if exc.status == 422 else "error"
    return "right" if prediction.predicted_class == label else "wrong"


def _tree(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _unique_mib(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().uss) / 2**20
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0.0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
