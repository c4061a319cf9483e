"""The model behind other servers, decode and predict only, each in a uv environment of its own that is made here.

All take the model's file as it is in the bundle, ONNX Runtime in the product's version and as many workers and threads
as the product; beyond that what their documentation recommends for production: LitServe a worker a core and its own
event loop, BentoML `workers` and no access log, `mlflow models serve` with `--workers`, and uvloop and httptools for
all.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from load_generator import Bodies, Server, free_port, running, tree

from brain_core.bundle import MODEL_FILE, folder_files, read_manifest
from brain_core.settings import child_environment

CODE = Path(__file__).with_name("serving_contestants")
SHARED = ("onnxruntime", "pillow", "numpy")
"""What the contestants' code needs, in the versions that the product has here."""

_MAKE_TIMEOUT_S = 900


@dataclass(frozen=True)
class Peer:
    """Another server.

    Attributes:
        name: as its project calls it.
        package: its requirement.
        path: where the images are sent.
        health_path: answers 200 when it is ready.
        takes_json: JSON with base 64, else a multipart form.
    """

    name: str
    package: str
    path: str
    health_path: str
    takes_json: bool = False

    def bodies(self, multipart: Bodies, in_json: Bodies) -> Bodies:
        """The bodies that it takes."""
        return in_json if self.takes_json else multipart


PEERS = (
    Peer("mlflow models serve", f"mlflow=={version('mlflow')}", "/invocations", "/ping", takes_json=True),
    Peer("LitServe", "litserve==0.2.19", "/predict", "/health"),
    Peer("BentoML", "bentoml==1.4.40", "/predict", "/readyz"),
)


@contextmanager
def running_peer(peer: Peer, bundle: Path, work: Path, workers: int, threads: int) -> Iterator[Server]:
    """Serve the bundle's model by a peer until the end of the block.

    Args:
        peer: whose environment is made where it is not there yet.
        bundle: folder of the bundle.
        work: where environments and logs lie.
        workers: processes that run the model.
        threads: of ONNX Runtime in each.
    """
    python = environment_of(peer, work)
    port = free_port()
    variables = _variables(python, bundle, workers, threads)
    log = work / f"{python.parents[1].name}.log"
    saved = _prepared(peer, python, variables, work / "saved-model")
    command = _command(peer, python, port, workers, saved)
    url = f"http://127.0.0.1:{port}"
    with running(command, variables, f"{url}{peer.health_path}", log) as started:
        yield Server(f"{url}{peer.path}", lambda: tree(started.pid), started.start_s)


def environment_of(peer: Peer, work: Path) -> Path:
    """The Python of the peer's environment; it is made when it is not there."""
    shared = [f"{name}=={version(name)}" for name in SHARED]
    requirements = [peer.package, "uvicorn[standard]", "python-multipart", *shared]
    mark = hashlib.sha256(" ".join([*requirements, sys.version]).encode()).hexdigest()[:8]
    folder = work / f"{peer.package.partition('=')[0]}-{mark}"
    is_made = folder / "is-made"
    if not is_made.exists():
        print(f"Making the environment of {peer.name} in {folder} …", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        _uv("venv", "--quiet", "--python", sys.executable, str(folder))
        _uv("pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), *requirements)
        is_made.touch()
    return folder / "bin" / "python"


def _uv(*arguments: str) -> None:
    nearby = Path(sys.prefix).parent / ".tools" / "bin" / "uv"
    uv = shutil.which("uv") or (str(nearby) if nearby.exists() else None)
    if uv is None:
        raise SystemExit("uv is not there. `make install` brings it, or install it from https://docs.astral.sh/uv/.")
    result = subprocess.run([uv, *arguments], capture_output=True, text=True, timeout=_MAKE_TIMEOUT_S)
    if result.returncode:
        raise SystemExit(f"uv {' '.join(arguments)} failed: {result.stderr[-2000:]}")


def _variables(python: Path, bundle: Path, workers: int, threads: int) -> dict[str, str]:
    manifest = read_manifest(folder_files(bundle))
    elsewhere = {"PYTHONPATH", "VIRTUAL_ENV"}
    inherited = {name: value for name, value in child_environment().items() if name not in elsewhere}
    return {
        **inherited,
        "PATH": os.pathsep.join([str(python.parent), inherited.get("PATH", "")]),
        "PYTHONPATH": str(CODE),
        "BENCH_MODEL": str((bundle / MODEL_FILE).resolve()),
        "BENCH_INPUT_SIZE": str(manifest.input_size),
        "BENCH_CLASSES": ",".join(manifest.classes),
        "BENCH_THREADS": str(threads),
        "BENCH_WORKERS": str(workers),
        "BENTOML_DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _prepared(peer: Peer, python: Path, variables: dict[str, str], folder: Path) -> Path:
    """MLflow serves a folder in its own layout, which is written here."""
    if peer.package.startswith("mlflow"):
        shutil.rmtree(folder, ignore_errors=True)
        command = [str(python), str(CODE / "mlflow_model.py"), str(folder)]
        subprocess.run(command, env=variables, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return folder


def _command(peer: Peer, python: Path, port: int, workers: int, saved: Path) -> list[str]:
    if peer.name == "LitServe":
        return [str(python), str(CODE / "litserve_server.py"), str(port), str(workers)]
    where = ["--host", "127.0.0.1", "--port", str(port)]
    if peer.name == "BentoML":
        return [str(python), "-m", "bentoml", "serve", "bentoml_service:Classifier", *where]
    options = ["--env-manager", "local", "--workers", str(workers), "--timeout", "60"]
    return [str(python), "-m", "mlflow", "models", "serve", "--model-uri", str(saved), *where, *options]
