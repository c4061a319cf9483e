"""Brain MRI slices as other scanners, sequences and programs would show them, for the fit of the upload gate.

Made from the training images (`variation`, turns, margins, marks), from the sample's drawn heads (`phantoms`) and from
slices of the MNI template, whose skull is stripped.
"""

import functools
from dataclasses import replace
from importlib.resources import as_file, files

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from brain_assets.ml.gate_canvas import SIZE, Floats, drawn, scanned
from brain_assets.ml.phantoms import draw_slice
from brain_assets.ml.variation import VariationConfig, vary
from brain_core.imaging import resize

Images = NDArray[np.uint8]

SLIGHT = VariationConfig(curve_share=0.0, occluded_share=0.0, strip_share=0.0, blur_share=0.1, zoom=0.1)
"""As the same scanners would show other patients."""

STRONG = VariationConfig(
    rotation_degrees=20, zoom=0.3, stretch=0.25, gamma=0.5, curve_share=0.2, strip_share=0.25, occluded_share=0.0
)
"""As other scanners and programs might."""

STRONG_WITH_SKULL = replace(STRONG, strip_share=0.0)
"""The same, but never without the skull, which is what tells CT from MRI."""

PHANTOM_SEED = 7_000
"""Other drawn heads than those of the sample, whose seed is 0."""

_TURNED_SHARE = 0.12
_MARGIN_SHARE = 0.25
_MARK_SHARE = 0.2
_CUTS = ((0.28, 0.72), (0.25, 0.75), (0.3, 0.75))
_TEMPLATE = "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"


def vary_heads(heads: Images, config: VariationConfig, rng: Generator) -> Images:
    """Each slice varied, some turned by quarters, with margins or with marks: uint8 (N, S, S, 1)."""
    varied, _ = vary(heads, np.full((len(heads), 4), np.nan, np.float32), config, rng)
    for picture in varied[..., 0]:
        turned, framed, marked = rng.random(3) < (_TURNED_SHARE, _MARGIN_SHARE, _MARK_SHARE)
        if turned:
            picture[:] = np.rot90(picture, int(rng.integers(1, 4)))
        if framed:
            picture[:] = _framed(picture, rng)
        if marked:
            picture[:] = _marked(picture, rng)
    return varied


def _framed(picture: NDArray[np.uint8], rng: Generator) -> NDArray[np.uint8]:
    """Smaller, with upright or lying margins in the ground's grey, or with a bright line around."""
    size = len(picture)
    if rng.random() < 0.25:
        return np.pad(picture, int(rng.integers(1, 4)), constant_values=int(rng.integers(180, 256)))[:size, :size]
    wide, high = (int(size * share) for share in rng.uniform(0.65, 1.0, 2))
    ground = np.full_like(picture, int(np.median(picture[:3])))
    left, top = int(rng.integers(0, size - wide + 1)), int(rng.integers(0, size - high + 1))
    ground[top : top + high, left : left + wide] = np.asarray(Image.fromarray(picture).resize((wide, high)))
    return ground


def _marked(picture: NDArray[np.uint8], rng: Generator) -> NDArray[np.uint8]:
    """With a side's letter or a line of figures, as viewers write them."""
    image = Image.fromarray(picture)
    draw, size = ImageDraw.Draw(image), len(picture)
    grey = int(rng.integers(150, 256))
    for _ in range(int(rng.integers(1, 4))):
        text = "".join(rng.choice(list("RLAPHF0123456789.: "), int(rng.choice([1, 1, 2, 8, 14]))))
        place = (rng.choice([0.02, 0.6, 0.9]) * size, rng.choice([0.01, 0.48, 0.92]) * size)
        draw.text(place, text, fill=grey, font_size=float(rng.uniform(6, 11)))
    return np.asarray(image)


def drawn_heads(count: int, size: int) -> Images:
    """Heads as in the sample, but other ones: uint8 (count, size, size, 1)."""
    return drawn(count, size, lambda index: draw_slice(index, PHANTOM_SEED))


def stripped_heads(count: int, size: int, seed: int = 0) -> Images:
    """Slices of the template's brain in three planes, with the contrast of random sequences."""
    return drawn(count, size, lambda index: _stripped(np.random.default_rng([seed, index])))


def _stripped(rng: Generator) -> NDArray[np.uint8]:
    brain = _template()
    axis = int(rng.choice(3, p=(0.25, 0.25, 0.5)))
    cut = brain.take(int(brain.shape[axis] * rng.uniform(*_CUTS[axis])), axis).T[::-1]
    rows, columns = np.flatnonzero(cut.any(axis=1)), np.flatnonzero(cut.any(axis=0))
    cut = cut[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    high, wide = (int(max(cut.shape) * share) for share in rng.uniform(1.0, 1.5, 2))
    ground = np.zeros((high, wide), np.float32)
    top, left = (high - cut.shape[0]) // 2, (wide - cut.shape[1]) // 2
    ground[top : top + cut.shape[0], left : left + cut.shape[1]] = cut
    grey = np.interp(ground, (0, 0.05, 0.3, 0.62, 0.88, 1), (0, 0, *rng.uniform(0.05, 1, 3), rng.uniform(0.3, 1)))
    picture = resize((np.clip(grey, 0, 1) * 255).astype(np.uint8), SIZE).astype(np.float32) / 255
    return np.asarray(np.clip(scanned(rng, picture), 0, 1) * 255, np.uint8)


@functools.cache
def _template() -> Floats:
    import nibabel

    with as_file(files("nilearn") / "datasets" / "data" / _TEMPLATE) as path:
        volume = np.asarray(nibabel.Nifti1Image.from_filename(path).dataobj, np.float32)
    return np.asarray(volume / volume.max(), np.float32)
