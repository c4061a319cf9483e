"""Clients that send images to the API side by side and compare each answer with what was sent."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from load_generator import FORM_TYPE, forms


@dataclass(frozen=True)
class Answer:
    """What came back for one image.

    Attributes:
        index: of the image that was sent.
        status: of the answer; 0 when the connection broke.
        body: of the answer, as JSON.
        seconds: until it was there.
    """

    index: int
    status: int
    body: Mapping[str, Any]
    seconds: float


def uploads(
    url: str, images: Sequence[bytes], fields: Mapping[str, str], clients: int, next_index: Callable[[], int | None]
) -> list[Answer]:
    """Send images by so many clients, each on a connection of its own, until `next_index` gives None.

    Args:
        url: where images are sent.
        images: the index of one is taken modulo their number.
        fields: of the form beside the file.
        clients: threads that send.
        next_index: which image comes next; called by all threads.
    """
    bodies = list(forms(images, fields))

    def one_client(_: int) -> list[Answer]:
        return list(_client(url, bodies, next_index))

    with ThreadPoolExecutor(clients) as executor:
        return [answer for answers in executor.map(one_client, range(clients)) for answer in answers]


def _client(url: str, bodies: Sequence[bytes], next_index: Callable[[], int | None]) -> Iterator[Answer]:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=120)
    headers = {"Content-Type": FORM_TYPE}
    while (index := next_index()) is not None:
        begun = time.perf_counter()
        try:
            connection.request("POST", parts.path, bodies[index % len(bodies)], headers)
            response = connection.getresponse()
            status, body = response.status, json.loads(response.read())
        except (OSError, HTTPException):
            connection.close()
            status, body = 0, {}
        yield Answer(index, status, body, time.perf_counter() - begun)
    connection.close()


class Countdown:
    """Gives 0, 1, … up to a number of images or for a time; may be called from several threads."""

    def __init__(self, count: int | None = None, seconds: float | None = None) -> None:
        self._next, self._count = 0, count
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._lock = threading.Lock()

    def __call__(self) -> int | None:
        """The next index; None at the end."""
        with self._lock:
            index = self._next
            if index == self._count or (self._deadline is not None and time.monotonic() > self._deadline):
                return None
            self._next += 1
            return index
