"""The same load for every server: wrk (https://github.com/wg/wrk) with prepared bodies, and what servers cost.

wrk comes with Debian and Ubuntu (`apt install wrk`) and Homebrew (`brew install wrk`). It keeps the given number of
connections busy, each waiting for its answer before it sends the next image.
"""

import base64
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil

SCRIPT = Path(__file__).with_name("upload.lua")
START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 20.0
_BOUNDARY = "brain-assets-bench"
FORM_TYPE = f"multipart/form-data; boundary={_BOUNDARY}"
"""Content type of `forms`."""


@dataclass(frozen=True)
class Bodies:
    """Prepared bodies of requests in a folder, named `0000`, `0001` and so on."""

    folder: Path
    count: int
    content_type: str


@dataclass(frozen=True)
class Load:
    """What came of a load.

    Attributes:
        connections: that were kept busy.
        requests_a_second: answers of any status.
        p50_ms: median latency.
        p99_ms: 99th percentile of the latency.
        max_ms: the longest one.
        processor_ms: of the server's processes for one request.
        statuses: number of answers by HTTP status.
        lost: connections that broke and answers that did not come in time.
    """

    connections: int
    requests_a_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    processor_ms: float
    statuses: dict[str, int]
    lost: int


@dataclass(frozen=True)
class Server:
    """A server that answers.

    Attributes:
        url: where the images are sent.
        processes: finds all its processes.
        start_s: seconds from the start of its process until it was ready.
    """

    url: str
    processes: Callable[[], list[psutil.Process]]
    start_s: float


class Started(NamedTuple):
    """A process that was started, and the seconds until it was ready."""

    pid: int
    start_s: float


def require_wrk() -> None:
    """Stop with a sentence where there is no wrk."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk, the load generator, is not there. Install it: `apt install wrk` or `brew install wrk`.")


def multipart_bodies(folder: Path, images: Iterable[bytes], fields: Mapping[str, str] | None = None) -> Bodies:
    """Multipart forms; see `forms`."""
    return _written(folder, forms(images, fields or {}), FORM_TYPE)


def forms(images: Iterable[bytes], fields: Mapping[str, str]) -> Iterator[bytes]:
    """Multipart forms with other fields and then the image as `file`."""
    texts = "".join(
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    head = (
        f'{texts}--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="slice.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    for image in images:
        yield head.encode() + image + f"\r\n--{_BOUNDARY}--\r\n".encode()


def json_bodies(folder: Path, images: Iterable[bytes]) -> Bodies:
    """JSON with the image in base 64, as MLflow's scoring server takes it."""
    texts = (json.dumps({"inputs": [base64.b64encode(image).decode()]}) for image in images)
    return _written(folder, (text.encode() for text in texts), "application/json")


def _written(folder: Path, bodies: Iterable[bytes], content_type: str) -> Bodies:
    folder.mkdir(parents=True)
    count = 0
    for count, body in enumerate(bodies, start=1):
        (folder / f"{count - 1:04d}").write_bytes(body)
    return Bodies(folder, count, content_type)


def run_load(server: Server, bodies: Bodies, connections: int, seconds: float) -> Load:
    """Keep so many connections busy for so long."""
    before_s = processor_seconds(server)
    arguments = ["-t", "1", "-c", str(connections), "-d", f"{seconds:.0f}s", "--timeout", "30s", "-s", str(SCRIPT)]
    what = ["--", str(bodies.folder), str(bodies.count), bodies.content_type]
    result = subprocess.run(["wrk", *arguments, server.url, *what], capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"wrk failed: {result.stdout[-500:]}{result.stderr[-500:]}")
    said = json.loads(result.stdout.splitlines()[-1])
    if not said["requests"]:
        raise SystemExit(f"{server.url} answered nothing in {seconds:.0f} s.")
    return Load(
        connections=connections,
        requests_a_second=said["requests"] / said["duration_us"] * 1e6,
        p50_ms=said["p50_us"] / 1000,
        p99_ms=said["p99_us"] / 1000,
        max_ms=said["max_us"] / 1000,
        processor_ms=(processor_seconds(server) - before_s) / said["requests"] * 1000,
        statuses=said["statuses"],
        lost=said["lost"],
    )


def processor_seconds(server: Server) -> float:
    """Processor time that all processes of a server have used."""
    total = 0.0
    for process in server.processes():
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def tree(pid: int) -> list[psutil.Process]:
    """A process and all that it started."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


@contextmanager
def running(command: list[str], environment: dict[str, str], ready_url: str, log: Path) -> Iterator[Started]:
    """Run a server in the log's folder until the end of the block, which begins when it is ready.

    Raises:
        SystemExit: it ended, or was not ready in time.
    """
    began = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, cwd=log.parent)
    try:
        _wait_until_ready(process, ready_url, log)
        yield Started(process.pid, time.perf_counter() - began)
    finally:
        stop(process.pid)


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(httpx.HTTPError):
            if httpx.get(url, timeout=5).is_success:
                return
        time.sleep(0.05)
    tail = log.read_text(errors="replace")[-2000:]
    stop(process.pid)
    raise SystemExit(f"{url} did not answer. The end of the server's log:\n{tail}")


def stop(pid: int) -> None:
    """End a process and all that it started, first kindly."""
    processes = tree(pid)
    for process in processes[:1]:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, left = psutil.wait_procs(processes, timeout=STOP_TIMEOUT_S)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=STOP_TIMEOUT_S)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
