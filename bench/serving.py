"""The prediction API, which does everything, beside servers that only decode and predict: same machine, model, images.

    python bench/serving.py DATA [--bundle DIR] [--seconds 10] [--rounds 3] [--requests 10000] [--work DIR]

DATA holds `brain-tumor-mri`; 200 of its images are sent. The load generator is wrk (Debian, Ubuntu: `apt install wrk`;
macOS: `brew install wrk`) with 1, 8 and 32 connections. The API decodes, asks the gate, predicts, explains and answers
when the image is in the bucket and the row in the embedded PostgreSQL, both flushed to the disk. `mlflow models serve`,
LitServe and BentoML have the same `model.onnx`, decode and predict, and keep nothing; each has an environment of its
own in the work folder (made at the first run; needs uv). All run the whole time and take turns, so that a busy machine
is busy for all; the figures are medians over the rounds. A worker a core, one thread of ONNX Runtime in each.

In the same run: a bare loop of decoding and the model (all cores; and one thread, one image at a time), the replaced
system's way (histogram loop, its network in Keras, LIME with 100 copies one at a time), start to ready, memory of each
worker over 10,000 requests, and whether serving loads TensorFlow.

Prints tables, then one JSON line. Exits 1 when a target is missed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from load_generator import Bodies, Load, Server, json_bodies, multipart_bodies, require_wrk, run_load
from measured_bundle import add_bundle_option
from predict import bare_loops, chosen_files, fastest, timed
from serving_peers import PEERS, running_peer
from serving_product import FORM, Product, Stores, heavy_imports, running_product, stores
from serving_targets import missed_targets, show
from upload_clients import Countdown, uploads

from brain_core.bundle import MODEL_FILE, OnnxSession, folder_files, load_files
from brain_core.cores import usable_cores
from brain_core.imaging import decode, model_tensor
from brain_core.settings import child_environment

IMAGES = 200
CONNECTIONS = (1, 8, 32)
PRODUCT = "this API"
THREADS = 1
WARM_UP_S = 3.0
BARE_IMAGES = 400
STARTS = 3
MEMORY_STEP = 1000
MEMORY_CLIENTS = 8
REPLACED_IMAGES = 3
REPLACED = Path(__file__).with_name("serving_replaced.py")
WORK = Path(os.path.expanduser("~/.cache/brain-assets-bench"))


@dataclass(frozen=True)
class Setting:
    """What a run is made with."""

    bundle: Path
    files: list[Path]
    seconds: float
    rounds: int
    requests: int
    work: Path

    def images(self) -> list[bytes]:
        """The bytes of the images."""
        return [path.read_bytes() for path in self.files]


@dataclass(frozen=True)
class Contestant:
    """A running server and the bodies that it takes."""

    name: str
    server: Server
    bodies: Bodies


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="holds `brain-tumor-mri`")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=10_000, help="while memory is watched")
    parser.add_argument("--work", type=Path, default=WORK, help="where the other servers' environments lie")
    add_bundle_option(parser)
    options = parser.parse_args()
    require_wrk()
    files = chosen_files(options.data.resolve() / "brain-tumor-mri", IMAGES)
    options.work.mkdir(parents=True, exist_ok=True)
    setting = Setting(
        options.bundle.resolve(), files, options.seconds, options.rounds, options.requests, options.work.resolve()
    )
    # Short, since a Unix socket lies in it.
    with tempfile.TemporaryDirectory(prefix="brain-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        figures = measure(setting, Path(folder))
    missed = missed_targets(figures)
    show(figures, missed)
    print(json.dumps({**figures, "missed": missed}))
    return 1 if missed else 0


def measure(setting: Setting, folder: Path) -> dict[str, Any]:
    """All figures."""
    home = folder / "home"
    home.mkdir()
    figures: dict[str, Any] = {
        "images": len(setting.files),
        "cores": usable_cores(),
        "load_average_before": os.getloadavg()[0],
        "heavy_imports": heavy_imports(),
    }
    with stores(setting.bundle, home) as kept:
        figures["start_s"] = statistics.median(start_seconds(kept) for _ in range(STARTS))
        figures |= side_by_side(setting, kept, folder)
        figures |= memory(setting, kept)
        figures["rows"], figures["stored_images"] = kept.counts()
    figures["replaced_system"] = replaced_system(setting, folder)
    figures["load_average_after"] = os.getloadavg()[0]
    return figures


def start_seconds(kept: Stores) -> float:
    """From the start of the process to the first time that it is ready."""
    with running_product(kept, usable_cores(), THREADS) as product:
        return product.server.start_s


def side_by_side(setting: Setting, kept: Stores, folder: Path) -> dict[str, Any]:
    """Loads of all servers and the bare loops, in turn."""
    forms = multipart_bodies(folder / "forms", setting.images())
    consenting = multipart_bodies(folder / "consenting", setting.images(), FORM)
    in_json = json_bodies(folder / "json", setting.images())
    with ExitStack() as stack:
        product = stack.enter_context(running_product(kept, usable_cores(), THREADS))
        contestants = [Contestant(PRODUCT, product.server, consenting)]
        for peer in PEERS:
            running = running_peer(peer, setting.bundle, setting.work, usable_cores(), THREADS)
            contestants.append(Contestant(peer.name, stack.enter_context(running), peer.bodies(forms, in_json)))
        return in_turn(setting, contestants)


def in_turn(setting: Setting, contestants: list[Contestant]) -> dict[str, Any]:
    """Medians over the rounds."""
    bare = bare_loop(setting)
    for one in contestants:
        run_load(one.server, one.bodies, CONNECTIONS[1], WARM_UP_S)
    loads: dict[str, dict[int, list[Load]]] = {one.name: {count: [] for count in CONNECTIONS} for one in contestants}
    bare_rates = []
    for number in range(setting.rounds):
        bare_rates.append(bare())
        for count in CONNECTIONS:
            # Whoever comes first may find a cooler machine.
            for one in contestants[number % len(contestants) :] + contestants[: number % len(contestants)]:
                loads[one.name][count].append(run_load(one.server, one.bodies, count, setting.seconds))
    return {
        "loads": {name: {str(count): median_load(all_) for count, all_ in by.items()} for name, by in loads.items()},
        "bare_images_a_second": statistics.median(bare_rates),
        "bare_p50_ms": one_at_a_time(setting),
    }


def bare_loop(setting: Setting) -> Callable[[], float]:
    """Images a second of decoding and the model on all cores, the faster one of two ways."""
    loops = bare_loops(setting.bundle)
    files = (setting.files * BARE_IMAGES)[:BARE_IMAGES]
    for loop in loops.values():
        loop(files[:20])

    def run() -> float:
        return len(files) / fastest({name: timed(loop, files) for name, loop in loops.items()}).seconds

    return run


def one_at_a_time(setting: Setting) -> float:
    """Median milliseconds of decoding and the model for one image, on as many threads as one request of the API has."""
    size = load_files(folder_files(setting.bundle)).manifest.input_size
    session = OnnxSession((setting.bundle / MODEL_FILE).read_bytes(), THREADS)

    def judge(path: Path) -> None:
        session.run(model_tensor(decode(path.read_bytes()), size)[np.newaxis])

    judge(setting.files[0])
    return statistics.median(timed(lambda files: judge(files[0]), [path]).seconds for path in setting.files) * 1000


def median_load(loads: list[Load]) -> dict[str, Any]:
    """Medians of the figures, sums of the counts."""
    figures: dict[str, Any] = asdict(loads[0])
    for name in ("requests_a_second", "p50_ms", "p99_ms", "max_ms", "processor_ms"):
        figures[name] = statistics.median(getattr(load, name) for load in loads)
    statuses = sorted({status for load in loads for status in load.statuses})
    figures["statuses"] = {status: sum(load.statuses.get(status, 0) for load in loads) for status in statuses}
    figures["lost"] = sum(load.lost for load in loads)
    return figures


def memory(setting: Setting, kept: Stores) -> dict[str, Any]:
    """MiB that each worker of a fresh API holds after every 1,000 requests, its threads included."""
    with running_product(kept, usable_cores(), THREADS) as product:
        readings = [_rss_mib(product)]
        for _ in range(setting.requests // MEMORY_STEP):
            uploads(product.server.url, setting.images(), FORM, MEMORY_CLIENTS, Countdown(MEMORY_STEP))
            readings.append(_rss_mib(product))
            said = ", ".join(f"{size:.1f}" for size in readings[-1])
            print(f"{(len(readings) - 1) * MEMORY_STEP} requests: {said} MiB", flush=True)
    return {"rss_mib": readings}


def _rss_mib(product: Product) -> list[float]:
    return [process.memory_info().rss / 2**20 for process in product.workers()]


def replaced_system(setting: Setting, folder: Path) -> dict[str, Any]:
    """Seconds that the replaced system's way takes for an upload."""
    histograms = load_files(folder_files(setting.bundle)).gate.known.histograms
    np.save(folder / "histograms.npy", histograms)
    images = [str(path) for path in setting.files[:: len(setting.files) // REPLACED_IMAGES][:REPLACED_IMAGES]]
    result = subprocess.run(
        [sys.executable, str(REPLACED), str(folder / "histograms.npy"), *images],
        env=child_environment(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1"),
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise SystemExit(f"{REPLACED.name} failed: {result.stderr[-2000:]}")
    seconds = json.loads(result.stdout.splitlines()[-1])
    return {"histograms": len(histograms), "seconds": seconds, "p50_ms": statistics.median(seconds) * 1000}


if __name__ == "__main__":
    sys.exit(main())
