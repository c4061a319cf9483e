"""What an upload costs the prediction API, part by part: processor time of one at a time, in one thread.

    python bench/serving_stages.py DATA [--bundle DIR] [--rounds 3]

DATA holds `brain-tumor-mri`; 200 of its images are judged and kept by the API's own functions, in a folder and an
embedded PostgreSQL; then the running API (wrk, 8 connections) refuses uploads that do not decode, which costs all that
an upload costs before and after. Under load the gate and the row take several images together and cost less.
Prints a table, then one JSON line. It says where `bench/serving.py` loses what it loses and has no target of its own.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Before the folder of the benchmarks, whose `serving.py` has the package's name.
sys.path.insert(0, str(Path(__file__).parents[1]))

from load_generator import multipart_bodies, require_wrk, run_load, tree
from measured_bundle import add_bundle_option
from predict import chosen_files
from rich.console import Console
from rich.table import Table
from serving_product import FORM, Stores, running_product, stores

from brain_core.bundle import InferenceBundle, folder_files, load_files
from brain_core.imaging import SIGNATURES, decode, model_tensor
from brain_core.settings import load_settings
from brain_core.threads import no_extra_threads
from serving.deps import open_services
from serving.predicting import Predictor
from serving.uploads import Upload

IMAGES = 200
LOAD_S = 4.0


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="holds `brain-tumor-mri`")
    parser.add_argument("--rounds", type=int, default=3)
    add_bundle_option(parser)
    options = parser.parse_args()
    require_wrk()
    no_extra_threads()
    files = [path.read_bytes() for path in chosen_files(options.data.resolve() / "brain-tumor-mri", IMAGES)]
    with tempfile.TemporaryDirectory(prefix="brain-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        home.mkdir()
        with stores(options.bundle.resolve(), home) as kept:
            rounds = [measure(files, options.bundle.resolve(), kept) for _ in range(options.rounds)]
            figures = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
            figures["http_ms"] = request_ms(kept, Path(folder) / "forms")
    beside_ms = figures["create_ms"] + figures["postgresql_ms"] + figures["http_ms"] - figures["bare_ms"]
    figures |= {"beside_ms": beside_ms, "beside_of_bare": beside_ms / figures["bare_ms"]}
    table = Table("an upload", "value")
    for name, value in figures.items():
        table.add_row(name, f"{value:.2f}")
    Console().print(table)
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))
    return 0


def measure(files: list[bytes], bundle: Path, kept: Stores) -> dict[str, float]:
    """Milliseconds of processor time of an upload; those that end with `_stage_ms` are by the clock."""
    model = load_files(folder_files(bundle))
    spent_ms: dict[str, list[float]] = {"bare_ms": [], "create_ms": []}
    with predictor(kept) as api:
        # The first of all costs more.
        api.create(Upload(files[0], FORM["consent_version"]))
        before_s = postgresql_s(kept)
        for data in files:
            # In turn: the machine's speed changes from one second to the next.
            with spending(spent_ms["bare_ms"]):
                bare(model, data)
            with spending(spent_ms["create_ms"]):
                created = api.create(Upload(data, FORM["consent_version"]))
            for name, ms in created.stopwatch.timings_ms.items():
                spent_ms.setdefault(f"{name}_stage_ms", []).append(ms)
        postgresql_ms = (postgresql_s(kept) - before_s) / len(files) * 1000
    return {name: statistics.mean(found) for name, found in spent_ms.items()} | {"postgresql_ms": postgresql_ms}


@contextmanager
def spending(spent_ms: list[float]) -> Iterator[None]:
    """Note this process' processor time of what happens inside, in milliseconds."""
    begun = time.process_time()
    yield
    spent_ms.append((time.process_time() - begun) * 1000)


def bare(model: InferenceBundle, data: bytes) -> None:
    """Decoding and the model, nothing else."""
    model.predict(model_tensor(decode(data), model.manifest.input_size)[None])


@contextmanager
def predictor(kept: Stores) -> Iterator[Predictor]:
    """The API's own, with one thread for the model."""
    settings = load_settings(home=kept.home, database={"url": kept.url}, serving={"threads": 1})
    with open_services(settings, kept.engine) as services:
        yield services.predictor


def postgresql_s(kept: Stores) -> float:
    """Processor seconds of all processes of PostgreSQL."""
    return sum(sum(process.cpu_times()[:2]) for process in tree(kept.postgres_pid))


def request_ms(kept: Stores, folder: Path) -> float:
    """Of an upload that the running API refuses since it does not decode, milliseconds of processor time."""
    broken = [SIGNATURES[0] + bytes(10_000)] * IMAGES
    with running_product(kept, workers=1, threads=1) as product:
        bodies = multipart_bodies(folder, broken, FORM)
        run_load(product.server, bodies, connections=8, seconds=1)
        return run_load(product.server, bodies, connections=8, seconds=LOAD_S).processor_ms


if __name__ == "__main__":
    sys.exit(main())
