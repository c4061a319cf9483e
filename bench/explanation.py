"""Our activation map against LIME, which the replaced system explained with, on the same model and images.

    python bench/explanation.py DATA [--bundle DIR] [--images N]

DATA holds `brain-tumor-mri` and, in it or beside it, `annotations.csv`. The images are held-out ones (part `test` of
the bundle's split) with a known tumour box whose class the model tells rightly, patients and classes in turn.
LIME is the package `lime` with its own defaults (quickshift, superpixels greyed out to their mean) and 100 perturbed
copies. Both explain the predicted class, and both are measured as pictures of the image's size:

- peak in box: the greatest value lies in the box (10 % margin; of a plateau, such as a superpixel, its middle);
- energy in box: share of the positive values in the box;
- deletion: area under the probability of the class while pixels are removed, the most important ones first (Petsiuk et
  al. 2018, arXiv:1806.07421); lower is better. A removed pixel becomes black, as MRI is where there is nothing. Shown
  beside it: the image's mean and the strongly blurred image in place of black. LIME greys out in such a way to find
  its weights, so that they fit those two by construction;
- seconds an image: for the map that is the run of the model that predicts; for LIME, the explanation on top of it.

The replaced system's way is its own network in Keras with 100 copies predicted one at a time. Prints a table, then one
JSON line. Exits 1 when the map is not better in all four, or not as much faster as it must be.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measured_bundle import (
    NO_TUMOUR,
    LabelledImages,
    MeasuredBundle,
    add_bundle_option,
    annotated,
    balanced,
    components_in_turn,
    open_bundle,
    read_images,
)
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from rich.console import Console
from rich.table import Table

from brain_assets.ml.localisation import energy_in_box, peak_in_box
from brain_core.bundle import MODEL_FILE, OnnxSession, verified
from brain_core.explain import peak
from brain_core.labels import CLASSES

PERTURBATIONS = 100
THREADS = 2
CANDIDATES = 400
DELETION_STEPS = 50
BLUR_SHARE = 0.08
"""Standard deviation of the blur as a share of the image's side."""

FILLS: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    "deletion": np.zeros_like,
    "deletion_to_mean": lambda image: np.full_like(image, round(float(image.mean()))),
    "deletion_to_blur": lambda image: blurred(image),
}
"""What removed pixels become, by the name of the figure; the first is the one that counts."""

REPLACED_IMAGES = 2
LEAST_SPEED_UP = 40.0
LEAST_SPEED_UP_ON_REPLACED = 500.0

Heat = NDArray[np.float64]
Classifier = Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True)
class Explanation:
    """What one way says about one image.

    Attributes:
        heat: float64 (S, S), how much each pixel speaks for the class.
        peak: x, y of the greatest value as fractions of the image.
        seconds: what it took.
    """

    heat: Heat
    peak: tuple[float, float]
    seconds: float


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=40)
    add_bundle_option(parser)
    options = parser.parse_args()
    bundle = open_bundle(options.bundle)
    session = OnnxSession(verified(bundle.files, bundle.manifest, MODEL_FILE), THREADS)
    chosen = rightly_told(bundle, session, options.data, options.images)
    figures = measure(session, chosen, bundle.manifest.input_size)
    missed = missed_targets(figures)
    show(figures, missed)
    print(json.dumps({**figures, "missed": missed}))
    return 1 if missed else 0


def rightly_told(bundle: MeasuredBundle, session: OnnxSession, data: Path, count: int) -> LabelledImages:
    """Held-out tumours with a known box whose class the model tells."""
    rows = annotated(bundle, data)
    rows = rows[(rows["part"] == "test") & (rows["label"] != NO_TUMOUR) & rows["x0"].notna()]
    candidates = balanced(components_in_turn(rows), CANDIDATES)
    found = read_images(candidates, bundle.manifest.input_size)
    answers = np.concatenate([session.run(image[np.newaxis])[0] for image in found.images])
    chosen = balanced(candidates[answers.argmax(axis=-1) == found.labels], count)
    if len(chosen) < count:
        raise SystemExit(f"Only {len(chosen)} held-out tumours with a box are told rightly; --images asks for {count}.")
    return read_images(chosen, bundle.manifest.input_size)


def measure(session: OnnxSession, chosen: LabelledImages, size: int) -> dict[str, Any]:
    """The figures of both ways, and of the replaced system's time."""
    session.run(chosen.images[:1])
    ours = [explain_with_map(session, image) for image in chosen.images]
    explainer = LimeExplainer(lambda images: session.run(images)[0])
    theirs = [
        explainer.explain(image, label) for image, label in zip(chosen.images, chosen.labels.tolist(), strict=True)
    ]
    replaced_s = replaced_seconds(chosen.images[:REPLACED_IMAGES], size)
    figures = {name: judge(session, chosen, found) for name, found in (("map", ours), ("lime", theirs))}
    map_s = figures["map"]["seconds"]
    return {
        "images": len(chosen.labels),
        "by_class": {name: int((chosen.labels == index).sum()) for index, name in enumerate(CLASSES)},
        "load_average": os.getloadavg()[0],
        **figures,
        "replaced_system_seconds": replaced_s,
        "times_faster": figures["lime"]["seconds"] / map_s,
        "times_faster_than_replaced_system": replaced_s / map_s,
    }


def explain_with_map(session: OnnxSession, image: NDArray[np.uint8]) -> Explanation:
    """The run of the model that predicts gives the map too."""
    begun = time.perf_counter()
    probabilities, _, maps = session.run(image[np.newaxis])
    seconds = time.perf_counter() - begun
    cells = maps[0, ..., int(probabilities[0].argmax())]
    picture = Image.fromarray(cells).resize(image.shape[1::-1], Image.Resampling.BILINEAR)
    return Explanation(np.asarray(picture, dtype=np.float64), peak(cells), seconds)


class LimeExplainer:
    """LIME's image explainer with its own defaults, seeded.

    Args:
        classify: takes uint8 (N, S, S, 1) and gives probabilities (N, 4).
        batch_size: so many perturbed copies are predicted at a time.
    """

    def __init__(self, classify: Classifier, batch_size: int = 10) -> None:
        from lime.lime_image import LimeImageExplainer

        self._explainer = LimeImageExplainer(random_state=0)
        self._classify = classify
        self._batch_size = batch_size

    def explain(self, image: NDArray[np.uint8], label: int) -> Explanation:
        """Each pixel has the weight of its superpixel."""
        begun = time.perf_counter()
        with silent():
            found = self._explainer.explain_instance(
                np.repeat(image, 3, axis=-1),
                lambda copies: self._classify(np.ascontiguousarray(copies[..., :1])),
                labels=(label,),
                top_labels=None,
                num_samples=PERTURBATIONS,
                batch_size=self._batch_size,
            )
        seconds = time.perf_counter() - begun
        weights = np.zeros(found.segments.max() + 1)
        for segment, weight in found.local_exp[label]:
            weights[segment] = weight
        heat = weights[found.segments]
        return Explanation(heat, middle_of_plateau(heat), seconds)


@contextmanager
def silent() -> Iterator[None]:
    """LIME draws a bar for each image."""
    with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):
        yield


def middle_of_plateau(heat: Heat) -> tuple[float, float]:
    """The pixel nearest to the mean place of those with the greatest value: x, y as fractions of the image."""
    places = np.argwhere(heat == heat.max())
    row, column = places[((places - places.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    return (float(column) + 0.5) / heat.shape[1], (float(row) + 0.5) / heat.shape[0]


def replaced_seconds(images: NDArray[np.uint8], size: int) -> float:
    """Seconds an image that LIME takes with the replaced system's network, copy by copy; its weights are random."""
    from brain_assets.ml.model import BASELINE, build_model

    model = build_model(BASELINE, size)
    explainer = LimeExplainer(lambda copies: model.predict(copies, verbose=0)["logits"], batch_size=1)
    model.predict(images[:1], verbose=0)
    return statistics.median(explainer.explain(image, 0).seconds for image in images)


def judge(session: OnnxSession, chosen: LabelledImages, found: list[Explanation]) -> dict[str, float]:
    """The means of all figures over the images; the median of the seconds."""
    heats = np.stack([one.heat for one in found])
    peaks = np.stack([one_hot(one.peak, one.heat.shape) for one in found])
    areas = {
        name: [
            deletion(session, image, label, one.heat, fill(image))
            for image, label, one in zip(chosen.images, chosen.labels.tolist(), found, strict=True)
        ]
        for name, fill in FILLS.items()
    }
    return {
        "peak_in_box": float(peak_in_box(peaks, chosen.boxes).mean()),
        "energy_in_box": float(np.nan_to_num(energy_in_box(heats, chosen.boxes)).mean()),
        **{name: float(np.mean(values)) for name, values in areas.items()},
        "seconds": statistics.median(one.seconds for one in found),
    }


def one_hot(place: tuple[float, float], shape: tuple[int, ...]) -> Heat:
    """A picture that is 1 at x, y (fractions) and 0 elsewhere."""
    picture = np.zeros(shape)
    picture[min(int(place[1] * shape[0]), shape[0] - 1), min(int(place[0] * shape[1]), shape[1] - 1)] = 1.0
    return picture


def deletion(session: OnnxSession, image: NDArray[np.uint8], label: int, heat: Heat, blank: NDArray[np.uint8]) -> float:
    """Area under the probability of the class while pixels become those of `blank`, the hottest first."""
    order = np.argsort(-heat.ravel(), kind="stable")
    steps = np.repeat(image[np.newaxis], DELETION_STEPS + 1, axis=0)
    for step in range(DELETION_STEPS + 1):
        removed = order[: round(step / DELETION_STEPS * len(order))]
        steps[step].reshape(-1)[removed] = blank.reshape(-1)[removed]
    probabilities = session.run(steps)[0][:, label]
    return float(np.trapezoid(probabilities, dx=1 / DELETION_STEPS))


def blurred(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image without anything that could be recognised."""
    radius = BLUR_SHARE * image.shape[0]
    return np.asarray(Image.fromarray(image[..., 0]).filter(ImageFilter.GaussianBlur(radius)))[..., np.newaxis]


def missed_targets(figures: dict[str, Any]) -> list[str]:
    """Where the map is not better, or not as much faster as it must be, in words."""
    ours, theirs = figures["map"], figures["lime"]
    is_better = {
        "peak in box": ours["peak_in_box"] > theirs["peak_in_box"],
        "energy in box": ours["energy_in_box"] > theirs["energy_in_box"],
        "deletion": ours["deletion"] < theirs["deletion"],
    }
    missed = [f"{name}: not better than LIME" for name, better in is_better.items() if not better]
    speed_ups = (
        ("LIME on the same model", figures["times_faster"], LEAST_SPEED_UP),
        ("the replaced system", figures["times_faster_than_replaced_system"], LEAST_SPEED_UP_ON_REPLACED),
    )
    slow = [(name, found, least) for name, found, least in speed_ups if found < least]
    return missed + [f"{found:.0f} times faster than {name}, at least {least:.0f}" for name, found, least in slow]


def show(figures: dict[str, Any], missed: list[str]) -> None:
    """Print the table."""
    by_class = ", ".join(f"{name} {count}" for name, count in figures["by_class"].items() if count)
    title = f"{figures['images']} held-out tumours ({by_class})"
    table = Table("figure", "activation map", "LIME", title=title)
    for name in ("peak_in_box", "energy_in_box", *FILLS):
        table.add_row(name.replace("_", " "), f"{figures['map'][name]:.3f}", f"{figures['lime'][name]:.3f}")
    table.add_row("seconds an image", *(f"{figures[way]['seconds']:.4f}" for way in ("map", "lime")))
    console = Console()
    console.print(table)
    console.print(
        f"{figures['times_faster']:.0f} times faster than LIME on the same model; "
        f"{figures['times_faster_than_replaced_system']:.0f} times faster than the replaced system's way, "
        f"{figures['replaced_system_seconds']:.1f} s an image; load average {figures['load_average']:.1f}"
    )
    for target in missed:
        console.print(f"[red]missed: {target}[/red]")


if __name__ == "__main__":
    sys.exit(main())
