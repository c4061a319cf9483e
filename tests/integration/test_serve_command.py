"""`brain serve` as processes of their own: several workers, figures of all of them, and an orderly end."""

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import psutil
import pytest

from brain_core.storage import CHAMPION_KEY
from tests.fixtures_bundle import publish_bundle, slice_jpeg
from tests.fixtures_serving import FORM, changed, wait_until

START_S = 300
"""A busy machine takes its time; how long a start takes on an idle one is measured elsewhere."""

BLAS_THREADS = """
import asyncio, threadpoolctl, uvicorn
from serving.main import main, worker_app

def run(app, **_):
    async def when_ready():
        async with app.router.lifespan_context(app):
            version = app.state.services.champion.bundle.manifest.version
            pools = threadpoolctl.threadpool_info()
            threads = {{pool["num_threads"] for pool in pools if pool["user_api"] == "blas"}}
            print(f"champion {{version}}, threads {{sorted(threads)}}")
    asyncio.run(when_ready())

uvicorn.run = run
{entry}
"""
"""In place of listening, says what the process is like when it is ready."""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def serving(settings, workers):
    """`brain serve` in a process; gives it and its URL."""
    port = free_port()
    environment = {**os.environ, **settings.as_environment()}
    command = [
        sys.executable,
        "-m",
        "brain_cli.main",
        "serve",
        "--port",
        str(port),
        "--workers",
        str(workers),
    ]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: process.poll() is not None or is_ready(url), START_S)
            yield process, url
        finally:
            # A parent that is killed would leave its workers behind.
            process.terminate()
            process.wait(60)


def is_ready(url):
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def upload(url):
    files = {"file": ("x", slice_jpeg())}
    # A connection each, so that the kernel hands them to different workers.
    return httpx.post(f"{url}/v1/predictions", files=files, data=FORM, timeout=60)


def figures(url):
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def test_several_workers_are_one_server(serving_settings, champion_bucket):
    with serving(serving_settings, 2) as (process, url), ThreadPoolExecutor(8) as pool:
        wait_until(lambda: figures(url).get('brain_model_info{version="1"}') == 2, START_S)
        assert {answer.status_code for answer in pool.map(upload, [url] * 24)} == {201}
        wait_until(lambda: figures(url)['brain_predictions_total{class="meningioma"}'] == 24)
        assert figures(url)['brain_stage_seconds_count{stage="decode"}'] == 24
        publish_bundle(champion_bucket, "2")
        wait_until(lambda: figures(url).get('brain_model_info{version="2"}') == 2, START_S)
        champion_bucket.write(CHAMPION_KEY, b"{}")
        wait_until(lambda: figures(url)["brain_champion_stale"] == 2, START_S)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_workers_end_with_a_parent_that_was_killed(serving_settings, champion_bucket):
    with serving(serving_settings, 2) as (process, url):
        assert upload(url).status_code == 201
        workers = psutil.Process(process.pid).children(recursive=True)
        assert len(workers) >= 2
        process.kill()
        _, left = psutil.wait_procs(workers, timeout=60)
        assert left == []
    assert not is_ready(url)


@pytest.mark.parametrize("entry", ["main()", "uvicorn.run(worker_app())"])
def test_linear_algebra_of_a_ready_server_has_one_thread(serving_settings, champion_bucket, entry):
    environment = {**os.environ, **serving_settings.as_environment()}
    command = [sys.executable, "-c", BLAS_THREADS.format(entry=entry)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "champion 1, threads [1]"


@pytest.mark.parametrize("workers", [1, 2])
def test_stopped_it_finishes_what_it_accepted(serving_settings, champion_bucket, workers):
    with serving(serving_settings, workers) as (process, url), ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(upload, url) for _ in range(16)]
        answers[0].result()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        kept = [future.result() for future in answers if future.exception() is None]
    assert kept
    assert {answer.status_code for answer in kept} == {201}
    # What was not accepted was not half answered either.
    assert {type(f.exception()) for f in answers if f.exception()} <= {
        httpx.ConnectError,
        httpx.ReadError,
        httpx.RemoteProtocolError,
    }


def test_an_address_of_the_outside_without_a_key_is_refused_with_a_sentence(serving_settings, champion_bucket):
    with serving(changed(serving_settings, serving={"host": "0.0.0.0"}), 1) as (process, _):
        assert process.wait(START_S) == 1
        said = process.stdout.read().decode()
    assert "brain keys create" in said
    assert "Traceback" not in said
