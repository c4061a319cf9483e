"""Pictures that are no brain MRI slice, made for the fit of the upload gate: the same for the same seed.

Three families: drawn ones (`gate_drawings`), ones made from MRI slices by taking away what makes them MRI slices, and
the few photographs and digits that the installed packages carry.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from brain_assets.ml.gate_canvas import SIZE, Floats, blob, drawn, fractal, paint, scanned, smooth, stretched
from brain_assets.ml.gate_drawings import DRAWINGS, page
from brain_assets.ml.gate_tomograms import depth_below_rim, head_tomogram
from brain_core.imaging import resize

Images = NDArray[np.uint8]
Alteration = Callable[[Floats, Generator], Floats]


def _inverted(head: Floats, rng: Generator) -> Floats:
    return 1 - head * rng.uniform(0.7, 1.0)


def _tiled(head: Floats, rng: Generator) -> Floats:
    rows, columns = [(1, 2), (2, 1), (2, 2), (2, 3), (3, 3), (4, 4), (5, 5)][int(rng.integers(7))]
    tile = Image.fromarray((head * 255).astype(np.uint8)).resize((SIZE // columns, SIZE // rows))
    tiles = np.tile(np.asarray(tile, np.float32) / 255, (rows, columns))
    return resize((tiles * 255).astype(np.uint8), SIZE).astype(np.float32) / 255


def _shuffled(head: Floats, rng: Generator) -> Floats:
    count = int(rng.choice([2, 4, 5, 8]))
    side = SIZE // count
    patches = head.reshape(count, side, count, side).transpose(0, 2, 1, 3).reshape(-1, side, side)
    mixed = patches[rng.permutation(len(patches))].reshape(count, count, side, side)
    return mixed.transpose(0, 2, 1, 3).reshape(SIZE, SIZE)


def _detail(head: Floats, rng: Generator) -> Floats:
    side = int(SIZE * rng.uniform(0.15, 0.4))
    top, left = rng.integers(SIZE // 5, SIZE * 4 // 5 - side, 2)
    part = head[top : top + side, left : left + side]
    return resize((stretched(part) * 255).astype(np.uint8), SIZE).astype(np.float32) / 255


def _pixelated(head: Floats, rng: Generator) -> Floats:
    few = resize((head * 255).astype(np.uint8), int(rng.integers(4, 11)))
    return np.asarray(Image.fromarray(few).resize((SIZE, SIZE), Image.Resampling.NEAREST), np.float32) / 255


def _warped(head: Floats, rng: Generator) -> Floats:
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    reach = rng.uniform(12, 35)
    cells = int(rng.integers(4, 9))
    rows = np.clip(y + reach * smooth(rng, cells), 0, SIZE - 1).astype(int)
    columns = np.clip(x + reach * smooth(rng, cells), 0, SIZE - 1).astype(int)
    return np.asarray(head[rows, columns])


def _unrolled(head: Floats, rng: Generator) -> Floats:
    angle = np.linspace(0, 2 * np.pi, SIZE) + rng.uniform(0, 6)
    radius = np.linspace(0, SIZE / 2 - 1, SIZE)[:, np.newaxis]
    rows, columns = SIZE / 2 + radius * np.sin(angle), SIZE / 2 + radius * np.cos(angle)
    return np.asarray(head[rows.astype(int), columns.astype(int)])


def _phase_noise(head: Floats, rng: Generator) -> Floats:
    phases = np.exp(2j * np.pi * rng.random((SIZE, SIZE // 2 + 1)))
    return stretched(np.fft.irfft2(np.abs(np.fft.rfft2(head)) * phases, s=(SIZE, SIZE)))


def _silhouette(head: Floats, rng: Generator) -> Floats:
    mask = (head > rng.uniform(0.08, 0.3)).astype(np.float32)
    return mask * rng.uniform(0.3, 1) + rng.uniform(0, 0.05) * rng.random(head.shape)


def _contours(head: Floats, rng: Generator) -> Floats:
    edges = stretched(np.hypot(*np.gradient(_blurred(head, rng.uniform(0.5, 2)))))
    return edges if rng.random() < 0.5 else 1 - edges


def _blurred(head: Floats, radius: float) -> Floats:
    image = Image.fromarray((head * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(image, np.float32) / 255


def _figure(head: Floats, rng: Generator) -> Floats:
    """A page of text, or a screen, on which a slice is but a small figure."""
    picture = page(rng) * 1.0
    side = int(SIZE * rng.uniform(0.2, 0.4))
    small = resize((head * 255).astype(np.uint8), side).astype(np.float32) / 255
    top, left = rng.integers(0, SIZE - side, 2)
    picture[top : top + side, left : left + side] = small
    return picture


def _double(head: Floats, rng: Generator) -> Floats:
    shift = tuple(int(s) for s in rng.integers(SIZE // 5, SIZE * 4 // 5, 2))
    return np.maximum(head, np.roll(head, shift, (0, 1))) if rng.random() < 0.5 else np.roll(head, shift, (0, 1))


def _tomogram(head: Floats, rng: Generator) -> Floats:
    """An MRI slice with the skull of a CT: thin grey skin, thick white bone, a brain with little or much contrast."""
    depth = depth_below_rim(head, rng)
    skin, skull = rng.uniform(1.5, 7), rng.uniform(3.5, 10)
    brain = rng.uniform(0.25, 0.85)
    tissue = _blurred(head, rng.uniform(0.5, 3))
    contrast = rng.uniform(0, 0.8)
    picture = np.where(depth > 0, brain * rng.uniform(0.5, 1.1), rng.uniform(0, 0.03))
    picture = np.where(depth > skin, rng.uniform(0.85, 1.0), picture)
    inside = np.clip((depth - skin - skull) / 1.5, 0, 1)
    middle = tissue[inside > 0.5].mean() if (inside > 0.5).any() else 0.0
    picture = paint(picture, inside, brain + contrast * (tissue - middle) + 0.02 * smooth(rng, 40))
    for _ in range(int(rng.integers(0, 3))):
        spot = blob(rng, tuple(rng.uniform(-0.4, 0.4, 2)), tuple(rng.uniform(0.04, 0.3, 2)), 0.1)
        picture = paint(picture, spot * inside, rng.choice([brain * 0.4, brain + 0.2, brain * 0.7]))
    if rng.random() < 0.3:
        base = np.clip((fractal(rng, rng.uniform(1.2, 1.8)) - rng.uniform(0.4, 0.7)) * 8, 0, 1)
        picture = paint(picture, base * inside, rng.choice([0.0, 0.95]))
    if rng.random() < 0.3:
        picture = _with_headrest(picture, rng)
    return np.clip(picture + rng.normal(0, rng.uniform(0.0, 0.04), picture.shape), 0, 1)


def _with_headrest(picture: Floats, rng: Generator) -> Floats:
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    arc = np.abs(np.hypot(x, y) - rng.uniform(0.9, 1.05)) < rng.uniform(0.01, 0.03)
    return np.where(arc & (y > 0.3), rng.uniform(0.2, 1), picture)


def _foreign_inside(head: Floats, rng: Generator) -> Floats:
    """A head's outline and skin, filled with something that is no brain."""
    depth = depth_below_rim(head, rng)
    share = np.clip((depth - rng.uniform(2, 10)) / 3, 0, 1)
    stuff = rng.uniform(0.1, 0.8) + rng.uniform(0, 0.2) * smooth(rng, 10)
    if rng.random() < 0.4:
        stuff = fractal(rng, rng.uniform(0.2, 2.0))
    for _ in range(int(rng.integers(0, 8))):
        organ = blob(rng, tuple(rng.uniform(-0.6, 0.6, 2)), tuple(rng.uniform(0.08, 0.4, 2)))
        stuff = paint(stuff, organ, rng.random())
    return scanned(rng, paint(head, share, stuff))


ALTERATIONS: dict[str, tuple[Alteration, ...]] = {
    "inverted": (_inverted,),
    "repeated": (_tiled, _shuffled, _double),
    "part": (_detail,),
    "distorted": (_warped, _unrolled, _phase_noise),
    "reduced": (_pixelated, _silhouette, _contours),
    "figure": (_figure,),
    "tomogram": (_tomogram, head_tomogram, head_tomogram, head_tomogram),
    "foreign_inside": (_foreign_inside, _foreign_inside),
}
"""Kinds of pictures made from MRI slices, and how."""

WEIGHTS = {
    "tomogram": 3.0,
    "foreign_inside": 2.0,
    "body": 2.5,
    "close_up": 2.0,
    "heart": 3.0,
    "radiograph": 2.0,
    "scope": 1.5,
}
"""How much oftener than the others these kinds are drawn: what is hardest to tell from a brain MRI slice."""


def make_negatives(heads: Images, count: int, seed: int = 0) -> tuple[Images, list[str]]:
    """Pictures that are no brain MRI slices, and the kind of each.

    Args:
        heads: uint8 (N, S, S, 1), MRI slices that some are made from; at least one.
        count: how many pictures.
        seed: another one makes others.

    Returns:
        uint8 (count, S, S, 1) and a name each: of `DRAWINGS`, of `ALTERATIONS`, or `carried`.
    """
    makers = _makers(heads)
    shares = np.array([WEIGHTS.get(kind, 1.0) for kind in makers])
    rng = np.random.default_rng([seed, 0])
    kinds = [str(kind) for kind in rng.choice(list(makers), count, p=shares / shares.sum())]

    def draw(index: int) -> Images:
        own = np.random.default_rng([seed, 1, index])
        return _finished(makers[kinds[index]](own), own)

    return drawn(count, heads.shape[1], draw), kinds


def _makers(heads: Images) -> dict[str, Callable[[Generator], Floats]]:
    makers: dict[str, Callable[[Generator], Floats]] = {kind: partial(_one_of, ways) for kind, ways in DRAWINGS.items()}
    makers |= {kind: partial(_altered, ways, heads) for kind, ways in ALTERATIONS.items()}
    return makers | {"carried": partial(_carried, carried_pictures())}


def _one_of(ways: Sequence[Callable[[Generator], Floats]], rng: Generator) -> Floats:
    return ways[int(rng.integers(len(ways)))](rng)


def _altered(ways: Sequence[Alteration], heads: Images, rng: Generator) -> Floats:
    head = heads[int(rng.integers(len(heads))), ..., 0]
    return ways[int(rng.integers(len(ways)))](resize(head, SIZE).astype(np.float32) / 255, rng)


def _carried(pictures: list[Images], rng: Generator) -> Floats:
    picture = pictures[int(rng.integers(len(pictures)))]
    if min(picture.shape) > 2 * SIZE // 3:
        side = int(rng.uniform(0.2, 1) * min(picture.shape))
        top, left = (int(rng.integers(0, extent - side + 1)) for extent in picture.shape)
        picture = picture[top : top + side, left : left + side]
    return resize(picture, SIZE).astype(np.float32) / 255


def carried_pictures() -> list[Images]:
    """Photographs, digits and relief that the installed packages carry, uint8 (H, W) each."""
    import matplotlib
    from sklearn.datasets import load_digits, load_sample_images

    pictures = [np.asarray(Image.fromarray(image).convert("L")) for image in load_sample_images().images] * 25
    samples = Path(matplotlib.get_data_path()) / "sample_data"
    pictures += [np.asarray(Image.open(samples / "grace_hopper.jpg").convert("L"))] * 20
    with np.load(samples / "jacksboro_fault_dem.npz") as relief:
        pictures += [(stretched(relief["elevation"]) * 255).astype(np.uint8)] * 20
    return pictures + [(digit * 15).astype(np.uint8) for digit in load_digits().images[:60]]


def _finished(picture: Floats, rng: Generator) -> Images:
    """As a file would hold it: sometimes another window, mirrored or blurred; uint8."""
    grey = np.clip(picture, 0, 1)
    if rng.random() < 0.5:
        grey = grey ** np.exp(rng.uniform(-0.4, 0.4)) * rng.uniform(0.6, 1.0)
    grey = grey[:, ::-1] if rng.random() < 0.5 else grey
    image = Image.fromarray((grey * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.2))) if rng.random() < 0.3 else image)
