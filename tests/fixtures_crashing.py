"""An API in a process of its own that dies, as by `kill -9`, at a named step; and what must be true afterwards."""

import multiprocessing
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn
from sqlalchemy import create_engine, text

from brain_core.settings import Settings
from brain_core.storage import LocalBucket
from brain_core.strays import StraySweeper
from serving.app import create_app
from serving.deps import Seams
from tests.fixtures_serving import make_callers, wait_until


@contextmanager
def crashing_api(settings: Settings, point: str, passes: int = 0) -> Iterator[str]:
    """Serve until the step `point` is reached for the time after `passes` times; gives the base URL.

    The block must lead there: at its end the process must have died of SIGKILL.
    """
    context = multiprocessing.get_context("forkserver")
    # Imported once, in a process without threads, so that each server starts at once.
    context.set_forkserver_preload(["tests.fixtures_crashing"])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    process = context.Process(target=_serve, args=(settings, port, point, passes), daemon=True)
    process.start()
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _answers(url), timeout_s=60)
        yield url
        process.join(30)
        assert process.exitcode == -signal.SIGKILL
    finally:
        process.kill()
        process.join()


def _serve(settings: Settings, port: int, point: str, passes: int) -> None:
    left = [passes]

    def reached(name: str) -> None:
        if name == point:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    make_callers(settings)
    app = create_app(settings, Seams(reached))
    uvicorn.run(app, host="127.0.0.1", port=port, log_config=None, access_log=False)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.HTTPError:
        return False


class Storage:
    """Rows and images as they are, whatever any API says."""

    def __init__(self, settings: Settings) -> None:
        self.engine = create_engine(settings.database_url)
        self.images = LocalBucket(Path(settings.inference_bucket_uri))

    def rows(self) -> dict[str, str | None]:
        """Image key by id; None for a tombstone."""
        with self.engine.connect() as connection:
            return {str(id_): key for id_, key in connection.execute(text("SELECT id, image_key FROM prediction"))}

    def count(self, table: str) -> int:
        with self.engine.connect() as connection:
            return int(connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)

    def image_keys(self) -> list[str]:
        return list(self.images.keys("InferenceLogs/"))

    def sweep(self) -> None:
        """What the API does after its grace, at once: nothing may be under way.

        A server that has just started sweeps too, and while one sweeps no other does: this waits for its turn.
        """
        sweeper = StraySweeper(self.engine, self.images, grace_s=0)
        wait_until(lambda: sweeper.sweep() is not None)

    def is_whole(self) -> bool:
        """Each row has its image, and no image is without a row."""
        return sorted(key for key in self.rows().values() if key) == self.image_keys()
