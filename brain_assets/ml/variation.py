"""Random variation of the training images, new in every epoch: what must not change the answer is changed.

The heads of a few hundred patients from a few scanners are soon known by heart. Pose, contrast, field, focus, noise,
skull and parts of the picture vary so that the network cannot tell a class by them. The tumour's box moves along.
Each step is drawn from one generator: the same seed varies the same images the same way.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from brain_assets.ml.augmentation import moved_boxes, warp_matrices
from brain_assets.ml.warping import warp
from brain_core.errors import SettingsError

Images = NDArray[np.uint8]
Boxes = NDArray[np.float32]

CURVE_POINTS = 5
"""Grey values between which a random tone curve is interpolated."""

BACKGROUND_GREY = 16
"""Grey values below this are air or its noise; a tone curve leaves black black."""

MAX_OCCLUDED_SHARE = 0.35
"""Greatest side of an occluding rectangle, of the image's side."""


@dataclass(frozen=True)
class VariationConfig:
    """How far a varied image may be from its original; ranges are drawn uniformly from minus to plus the value.

    Attributes:
        rotation_degrees: about the centre.
        zoom: logarithm of the greatest factor, the same for both axes.
        stretch: logarithm of the greatest factor between the axes.
        shift_share: of width and of height.
        gamma: logarithm of the greatest exponent of the grey values.
        field: logarithm of the greatest factor of a smooth bias field (Sled et al. 1998, doi 10.1109/42.668698).
        curve_share: share of the images whose grey values go through a random curve: another contrast (Zhou et al.
            2019, Models Genesis, arXiv:1908.06912).
        blur_share: share of the images that lose resolution.
        noise_share: share of the images with added noise.
        strip_share: share of the images of which only an ellipse remains, as after skull stripping.
        occluded_share: share of the images with a rectangle cut out that leaves the tumour (DeVries and Taylor 2017,
            arXiv:1708.04552).

    Raises:
        SettingsError: a value is negative, or a share above 1.
    """

    rotation_degrees: float = 15.0
    zoom: float = 0.2
    stretch: float = 0.08
    shift_share: float = 0.08
    gamma: float = 0.35
    field: float = 0.3
    curve_share: float = 0.15
    blur_share: float = 0.25
    noise_share: float = 0.25
    strip_share: float = 0.12
    occluded_share: float = 0.25

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            limit = 1.0 if name.endswith("_share") else np.inf
            if not 0 <= value <= limit:
                raise SettingsError(f"The variation's {name} is {value}; it must lie in [0, {limit:g}].")


NO_VARIATION = VariationConfig(**dict.fromkeys(VariationConfig.__dataclass_fields__, 0.0))


def vary(images: Images, boxes: Boxes, config: VariationConfig, rng: np.random.Generator) -> tuple[Images, Boxes]:
    """Each image varied on its own; every other one mirrored on average.

    Args:
        images: uint8 (N, S, S, 1).
        boxes: float32 (N, 4), x0, y0, x1, y1 of the tumour as fractions of the image; NaN where unknown.
        config: how far.
        rng: source of randomness.

    Returns:
        Images and boxes of the same shapes; a box of which nothing is left in the image is NaN.
    """
    transforms = _poses(len(images), config, rng)
    moved = moved_boxes(boxes, transforms)
    varied = warp(np.ascontiguousarray(images), warp_matrices(transforms, images.shape[1]))
    for image, box in zip(varied[..., 0], moved, strict=True):
        _occlude(image, box, config, rng)
        _change_tones(image, config, rng)
        _degrade(image, config, rng)
    return varied, moved


def _poses(count: int, config: VariationConfig, rng: np.random.Generator) -> NDArray[np.float64]:
    """Transforms as `augmentation.warp_matrices` takes them: rows then columns, from the copy to the original."""
    angle = np.deg2rad(config.rotation_degrees) * rng.uniform(-1, 1, count)
    scale = np.exp(config.zoom * rng.uniform(-1, 1, count))
    half = np.exp(config.stretch * rng.uniform(-1, 1, count) / 2)
    mirror = np.where(rng.random(count) < 0.5, -1.0, 1.0)
    shift = config.shift_share * rng.uniform(-1, 1, (2, count))
    cosine, sine = np.cos(angle), np.sin(angle)
    linear = np.array(
        [[scale * half * cosine, -scale / half * sine * mirror], [scale * half * sine, scale / half * cosine * mirror]]
    )
    return np.ascontiguousarray(np.concatenate([linear, shift[:, np.newaxis]], axis=1).transpose(2, 0, 1))


def _occlude(image: Images, box: Boxes, config: VariationConfig, rng: np.random.Generator) -> None:
    """Black outside an ellipse, or inside a rectangle, in place; neither may touch the tumour."""
    strip, occlude = rng.random(2) < (config.strip_share, config.occluded_share)
    if strip:
        _strip(image, box, rng)
    if occlude:
        _cut_out(image, box, rng)


def _strip(image: Images, box: Boxes, rng: np.random.Generator) -> None:
    found = np.argwhere(image >= BACKGROUND_GREY)
    if len(found) == 0:
        return
    (top, left), (bottom, right) = found.min(axis=0), found.max(axis=0)
    y, x = np.ogrid[: image.shape[0], : image.shape[1]]
    radius = rng.uniform(0.78, 0.98)
    across, down = max(1, right - left) / 2, max(1, bottom - top) / 2
    outside = ((x - (left + right) / 2) / across) ** 2 + ((y - (top + bottom) / 2) / down) ** 2 > radius**2
    image[outside & ~_inside(image, box)] = 0


def _cut_out(image: Images, box: Boxes, rng: np.random.Generator) -> None:
    size = image.shape[0]
    height, width = (rng.uniform(0.08, MAX_OCCLUDED_SHARE, 2) * size).astype(int)
    top, left = int(rng.uniform(0, size - height)), int(rng.uniform(0, size - width))
    hidden = np.zeros(image.shape, bool)
    hidden[top : top + height, left : left + width] = True
    image[hidden & ~_inside(image, box)] = 0 if rng.random() < 0.5 else int(rng.integers(0, 256))


def _inside(image: Images, box: Boxes) -> NDArray[np.bool_]:
    """Pixels of the box, with a margin of a tenth of its size; none where it is unknown."""
    inside = np.zeros(image.shape, bool)
    if not np.isnan(box).any():
        height, width = image.shape
        x0, y0, x1, y1 = box
        across, down = 0.1 * (x1 - x0), 0.1 * (y1 - y0)
        rows = slice(max(0, int((y0 - down) * height)), int(np.ceil((y1 + down) * height)))
        inside[rows, max(0, int((x0 - across) * width)) : int(np.ceil((x1 + across) * width))] = True
    return inside


def _change_tones(image: Images, config: VariationConfig, rng: np.random.Generator) -> None:
    """Gamma or, in some images, a whole tone curve; and a smooth field, in place."""
    if rng.random() < config.curve_share:
        image[:] = _curve(rng)[image]
    else:
        exponent = np.exp(config.gamma * rng.uniform(-1, 1))
        image[:] = np.rint(255 * np.linspace(0, 1, 256) ** exponent).astype(np.uint8)[image]
    if config.field:
        field = np.exp(config.field * _smooth(image.shape[0], rng))
        image[:] = np.minimum(np.rint(image * field), 255).astype(np.uint8)


def _curve(rng: np.random.Generator) -> NDArray[np.uint8]:
    """A table from grey value to grey value: black stays black, all else may change places."""
    points = np.linspace(BACKGROUND_GREY, 255, CURVE_POINTS)
    values = np.concatenate([[0.0], rng.uniform(20, 255, CURVE_POINTS)])
    table = np.interp(np.arange(256), np.concatenate([[0.0], points]), values)
    return np.asarray(np.rint(table), np.uint8)


def _smooth(size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A plane and a bowl with random coefficients, float32 (S, S), about [-1, 1]."""
    place = np.linspace(-1, 1, size, dtype=np.float32)
    y, x = place[:, np.newaxis], place
    a, b, c, d = rng.uniform(-0.5, 0.5, 4).astype(np.float32)
    return np.asarray(a * x + b * y + c * x * y + d * (x * x + y * y - 1), np.float32)


def _degrade(image: Images, config: VariationConfig, rng: np.random.Generator) -> None:
    """Fewer pixels, noise: in place."""
    blurred, noisy = rng.random(2) < (config.blur_share, config.noise_share)
    if blurred:
        size = image.shape[0]
        fewer = int(size * rng.uniform(0.35, 0.85))
        small = Image.fromarray(image).resize((fewer, fewer), Image.Resampling.BILINEAR)
        image[:] = np.asarray(small.resize((size, size), Image.Resampling.BILINEAR))
    if noisy:
        noise = rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(2, 12))
        image[:] = np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)
