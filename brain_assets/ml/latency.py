"""How long a model takes for one image on one thread, on this machine."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brain_core.bundle import Manifest, Session

ROUNDS = 5
RUNS = 12


@dataclass(frozen=True)
class LoadedModel:
    """A model that can be run, and what its bundle says about it."""

    manifest: Manifest
    session: Session


def single_image_latencies_ms(models: Sequence[LoadedModel]) -> list[float]:
    """Median time of one image for each model, in ms; load them with one thread.

    The models take turns, so that a machine that is busy for a while is busy for all of them; of each model's rounds
    the quickest counts, the one that other work disturbed least.
    """
    images = [np.zeros((1, size, size, 1), np.uint8) for size in (model.manifest.input_size for model in models)]
    medians: list[list[float]] = [[] for _ in models]
    for _ in range(ROUNDS):
        for model, image, found in zip(models, images, medians, strict=True):
            found.append(_median_ms(model.session, image))
    return [min(found) for found in medians]


def _median_ms(session: Session, image: NDArray[np.uint8]) -> float:
    # The first run after another model's fills the caches.
    session.run(image)
    times_ns = []
    for _ in range(RUNS):
        start = time.perf_counter_ns()
        session.run(image)
        times_ns.append(time.perf_counter_ns() - start)
    return float(np.median(times_ns)) / 1e6
