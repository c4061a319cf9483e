"""The synthetic `sample` images: slices of a template brain with painted lesions.

The brain is the MNI152 T1 template (Fonov et al. 2011, doi 10.1016/j.neuroimage.2010.07.033) that nilearn carries;
skull, scalp, face and lesions are drawn around and into it. They let the whole platform run without any patient's
data and are good for nothing else: a model trained on them knows nothing about tumours.

Positions are millimetres in MNI space: x to the right, y to the front, z up.
"""

import functools
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import as_file, files

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.spatial.transform import Rotation

from brain_core.imaging import encode_jpeg
from brain_core.labels import CLASSES

GENERATOR_VERSION = 1
"""Raise it with every change of what is drawn: it is part of the sample's fingerprint."""

Floats = NDArray[np.floating]
Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 as fractions of width and height."""

_Painted = tuple[Floats, Floats]  # Grey with the lesion in it, and the lesion's share of each pixel in [0, 1].

_TEMPLATE_FILE = "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
_HULL_STEP_MM = 4
_MARGIN_MM = 60
_SELLA_MM = (0.0, 4.0, -31.0)
_HEAD_CENTRE_MM = (0.0, -18.0, 2.0)
_ACROSS_AND_DOWN = {
    "axial": ((1, 0, 0), (0, -1, 0)),
    "coronal": ((1, 0, 0), (0, 0, -1)),
    "sagittal": ((0, -1, 0), (0, 0, -1)),
}
_PLANE_RANGES_MM = {"axial": (2, -45, 58), "coronal": (1, -82, 46), "sagittal": (0, -42, 42)}
# Grey of cerebrospinal fluid, grey matter and white matter for each kind of sequence.
_SEQUENCES = {"t1": (0.10, 0.38, 0.52), "flair": (0.08, 0.50, 0.38), "t2": (0.80, 0.48, 0.32)}
_SEQUENCE_SHARES = (0.7, 0.2, 0.1)
_TEMPLATE_GREYS = (0.30, 0.62, 0.88)

_head_lock = threading.Lock()


@dataclass(frozen=True)
class SliceTruth:
    """What is known of a drawn slice.

    Attributes:
        plane: `axial`, `coronal` or `sagittal`.
        box: around the lesion, without the oedema about it; None for a healthy slice.
    """

    plane: str
    box: Box | None


@dataclass(frozen=True)
class _Head:
    """The template: T1 in [0, 1] on 1 mm, and the distance to the brain's filled-in surface (negative inside)."""

    t1: Floats
    hull_mm: Floats
    origin_mm: NDArray[np.float64]


@dataclass(frozen=True)
class _Plane:
    """What lies at a slice's pixels: positions (3, S, S), the template's T1 and the distance to its hull (S, S)."""

    points: Floats
    t1: Floats
    hull_mm: Floats

    @property
    def size(self) -> int:
        return int(self.points.shape[-1])


@dataclass(frozen=True)
class _Placed:
    """Where a slice lies, before anything is drawn: the lesion's centre, and positions of the pixels (3, S, S)."""

    label: str
    plane: str
    lesion_mm: NDArray[np.float64]
    points: Floats


@dataclass(frozen=True)
class _Ellipsoid:
    centre_mm: tuple[float, float, float]
    radii_mm: tuple[float, float, float]

    def distance(self, points: Floats) -> Floats:
        """About the distance to the surface in mm, negative inside."""
        scaled = (points - _column(self.centre_mm, points)) / _column(self.radii_mm, points)
        return np.asarray((np.sqrt((scaled**2).sum(axis=0)) - 1) * np.float32(min(self.radii_mm)))


_FACE = _Ellipsoid((0, 34, -58), (66, 58, 62))
_NECK = _Ellipsoid((0, -30, -130), (58, 62, 120))
_EYES = tuple(_Ellipsoid((side * 33.0, 62.0, -36.0), (12, 13, 12)) for side in (-1, 1))


def sample_paths(count: int) -> list[str]:
    """Relative paths of the sample's images: the classes in turn, every fifth of a class in `Testing`."""
    return [_path(index) for index in range(count)]


def draw_sample(count: int = 320, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Relative path (`Training/glioma/sample-0001.jpg`) and JPEG bytes of `count` images; the same for a seed."""
    for index in range(count):
        yield _path(index), encode_jpeg(draw_slice(index, seed))


def draw_slice(index: int, seed: int = 0) -> NDArray[np.uint8]:
    """The sample's slice number `index` (from 0): uint8 (S, S), S in [224, 256]."""
    rng = _rng(index, seed)
    placed = _place(index, rng)
    plane = _cut(placed.points)
    grey = _tissue(plane, rng)
    if placed.label != "notumor":
        grey, _ = _paint_lesion(grey, plane, placed, rng)
    return _as_acquired(grey, rng)


def slice_truth(index: int, seed: int = 0) -> SliceTruth:
    """Plane and lesion box of `draw_slice(index, seed)`, much faster than the drawing."""
    rng = _rng(index, seed)
    placed = _place(index, rng)
    if placed.label == "notumor":
        return SliceTruth(placed.plane, None)
    # The lesion is drawn after the tissue: a single pixel of tissue takes the same random numbers as all of it.
    _tissue(_cut(placed.points[:, :1, :1]), rng)
    hull_mm = _hull_at(_template_head(), placed.points)
    nothing = np.zeros_like(hull_mm)
    _, lesion = _paint_lesion(nothing, _Plane(placed.points, nothing, hull_mm), placed, rng)
    return SliceTruth(placed.plane, _bounding_box(_largest_part(lesion > 0.5)))


def _rng(index: int, seed: int) -> Generator:
    return np.random.default_rng([seed, index])


def _place(index: int, rng: Generator) -> _Placed:
    label = CLASSES[index % len(CLASSES)]
    # A healthy slice lies where one with a tumour could, so that its position does not tell the class.
    placed_as = label if label != "notumor" else str(rng.choice(["glioma", "meningioma", "pituitary"]))
    lesion_mm = _lesion_position(placed_as, _template_head(), rng)
    plane, points = _oblique_points(lesion_mm, rng)
    return _Placed(label, plane, lesion_mm, points)


def _cut(points: Floats) -> _Plane:
    head = _template_head()
    return _Plane(points, _t1_at(head, points), _hull_at(head, points))


def _paint_lesion(grey: Floats, plane: _Plane, placed: _Placed, rng: Generator) -> _Painted:
    return _PAINTERS[placed.label](grey, plane, _nearest(plane.points, placed.lesion_mm), rng)


def _largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    # An irregular outline may leave a speck beside the lesion.
    parts, _ = ndimage.label(mask)
    return np.asarray(parts == np.bincount(parts[mask]).argmax())


def _bounding_box(mask: NDArray[np.bool_]) -> Box:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    height, width = mask.shape
    edges = columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height
    x0, y0, x1, y1 = (float(edge) for edge in edges)
    return x0, y0, x1, y1


def _path(index: int) -> str:
    number = index // len(CLASSES)
    split = "Testing" if number % 5 == 4 else "Training"
    return f"{split}/{CLASSES[index % len(CLASSES)]}/sample-{index + 1:04d}.jpg"


def _template_head() -> _Head:
    with _head_lock:
        return _load_head()


@functools.cache
def _load_head() -> _Head:
    import nibabel

    # As `nilearn.datasets.load_mni152_template` reads it; to import that takes five seconds.
    with as_file(files("nilearn") / "datasets" / "data" / _TEMPLATE_FILE) as path:
        template = nibabel.Nifti1Image.from_filename(path)
        t1 = np.asarray(template.dataobj, dtype=np.float32)
    t1 /= t1.max()
    coarse = np.pad(t1[::_HULL_STEP_MM, ::_HULL_STEP_MM, ::_HULL_STEP_MM] > 0.1, _MARGIN_MM // _HULL_STEP_MM)
    return _Head(t1, _signed_distance_mm(_filled(coarse)), np.asarray(template.affine)[:3, 3])


def _filled(mask: NDArray[np.bool_], radius_mm: float = 36.0) -> NDArray[np.bool_]:
    # A morphological closing: the gaps between the lobes and at the base become part of the skull's inside.
    grown = ndimage.distance_transform_edt(~mask) * _HULL_STEP_MM <= radius_mm
    return np.asarray(ndimage.distance_transform_edt(grown) * _HULL_STEP_MM > radius_mm)


def _signed_distance_mm(mask: NDArray[np.bool_]) -> Floats:
    outside = ndimage.distance_transform_edt(~mask) - ndimage.distance_transform_edt(mask)
    return np.asarray(ndimage.gaussian_filter(outside * _HULL_STEP_MM, 1.5), dtype=np.float32)


def _t1_at(head: _Head, points: Floats) -> Floats:
    return _interpolated(head.t1, points - _column(head.origin_mm, points))


def _hull_at(head: _Head, points: Floats) -> Floats:
    voxels = (points - _column(head.origin_mm, points) + _MARGIN_MM) / _HULL_STEP_MM
    return _interpolated(head.hull_mm, voxels, mode="nearest")


def _interpolated(volume: Floats, voxels: Floats, mode: str = "constant") -> Floats:
    return np.asarray(ndimage.map_coordinates(volume, voxels, order=1, mode=mode), dtype=np.float32)


def _column(vector: NDArray[np.float64] | tuple[float, ...], points: Floats) -> Floats:
    return np.asarray(vector, dtype=np.float32).reshape(3, *[1] * (points.ndim - 1))


def _lesion_position(label: str, head: _Head, rng: Generator) -> NDArray[np.float64]:
    if label == "pituitary":
        return np.asarray(_SELLA_MM) + rng.normal(0, 1.5, 3)
    depth_mm = (12.0, 40.0) if label == "glioma" else (2.0, 7.0)
    # Candidates above the base of the skull; the first in the wanted depth is taken.
    candidates = rng.uniform((-66, -98, -28), (66, 66, 76), size=(4000, 3))
    points = candidates.T.astype(np.float32)
    depth = -_hull_at(head, points)
    fits = (depth > depth_mm[0]) & (depth < depth_mm[1])
    if label == "glioma":
        fits &= (_t1_at(head, points) > 0.5) & (np.abs(points[0]) > 8)
    return np.asarray(candidates[int(np.flatnonzero(fits)[0])])


def _oblique_points(through_mm: NDArray[np.float64], rng: Generator) -> tuple[str, Floats]:
    """Plane and positions of the pixels, float32 (3, S, S): oblique, near a point, bent a little as heads differ."""
    size = int(rng.integers(224, 257))
    # Near the ends of the head a plane would show little but skin.
    fitting = [name for name, (axis, low, high) in _PLANE_RANGES_MM.items() if low < through_mm[axis] < high]
    name = str(rng.choice(fitting))
    turn = Rotation.from_rotvec(rng.normal(0, (0.09, 0.09, 0.09)))
    across, down = turn.apply(np.asarray(_ACROSS_AND_DOWN[name], dtype=np.float64))
    normal = np.cross(across, down)
    offset = (through_mm - _HEAD_CENTRE_MM) @ normal + rng.normal(0, 2.0)
    centre = np.asarray(_HEAD_CENTRE_MM) + normal * offset + across * rng.normal(0, 7) + down * rng.normal(0, 7)
    width_mm = rng.uniform(195, 245)
    steps = (np.arange(size) + 0.5) / size - 0.5
    columns, rows = steps * width_mm, steps[:, np.newaxis] * width_mm * rng.uniform(0.92, 1.08)
    flat = [centre[i] + across[i] * columns + down[i] * rows for i in range(3)]
    return name, np.stack([axis + 5.0 * _smooth_noise(size, 4, rng) for axis in flat]).astype(np.float32)


def _nearest(points: Floats, position_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    # The bent plane may miss the position by some millimetres, and a small lesion altogether.
    pixel = int(((points - _column(position_mm, points)) ** 2).sum(axis=0).argmin())
    return np.asarray(points.reshape(3, -1)[:, pixel], dtype=np.float64)


def _smooth_noise(size: int, cells: int, rng: Generator) -> Floats:
    """Standard normal values on a grid of cells, interpolated smoothly to float32 (size, size)."""
    coarse = Image.fromarray(rng.standard_normal((cells, cells), dtype=np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))


def _step(distance_mm: Floats, width_mm: float = 1.0) -> Floats:
    """1 where the distance is negative, 0 where positive, with a soft edge."""
    return np.asarray(np.clip(0.5 - distance_mm / width_mm, 0, 1))


def _mixed(below: Floats, above: Floats | float, share: Floats) -> Floats:
    return below + (above - below) * share


def _tissue(plane: _Plane, rng: Generator) -> Floats:
    """A healthy head without noise: float32 (S, S) in [0, 1]."""
    size, template = plane.size, plane.t1
    hull = plane.hull_mm + 0.5 * _smooth_noise(size, 16, rng)
    sequence = _SEQUENCES[str(rng.choice(list(_SEQUENCES), p=_SEQUENCE_SHARES))]
    fluid, grey_matter, white_matter = np.asarray(sequence) * rng.uniform(0.85, 1.15, 3)
    grey, skin = _outside_the_skull(hull, plane.points, fluid, rng)
    bone = _step(hull - rng.uniform(4.5, 6.5), 1.5)
    grey = _mixed(grey, 0.05 + 0.12 * _step(np.abs(hull - 3.5) - 0.8, 1.5), bone)
    base = 0.5 * fluid + 0.08 + np.clip(0.1 * _smooth_noise(size, 30, rng), 0, 1) * _step(hull + 5, 4)
    grey = _mixed(grey, base, _step(hull - 1.0, 1.5))
    brain = np.interp(template, (0.0, *_TEMPLATE_GREYS, 1.0), (fluid, fluid, grey_matter, white_matter, white_matter))
    grey = _mixed(grey, brain.astype(np.float32), np.clip((template - 0.1) / 0.2, 0, 1))
    return grey * _step(skin)


def _outside_the_skull(hull: Floats, points: Floats, fluid: float, rng: Generator) -> tuple[Floats, Floats]:
    """Muscle, air, fat and eyes, and the distance to the skin (negative inside)."""
    size = points.shape[-1]
    skin = _union(hull - rng.uniform(9, 13), _union(_FACE.distance(points), _NECK.distance(points)))
    texture = 0.05 * _smooth_noise(size, 60, rng) + 0.05 * _smooth_noise(size, 25, rng)
    grey = rng.uniform(0.24, 0.34) + texture + 0.05 * _smooth_noise(size, 8, rng)
    in_face = _step(_FACE.distance(points) + 12, 10)
    grey = _mixed(grey, 0.02, _step(0.9 - np.abs(_smooth_noise(size, 18, rng)), 0.3) * in_face)
    fat_depth = 4.0 + 1.5 * _smooth_noise(size, 8, rng)
    grey = _mixed(grey, rng.uniform(0.55, 0.95), _step(-fat_depth - skin, 2.0))
    for eye in _EYES:
        grey = _mixed(grey, 0.7, _step(eye.distance(points) - 4, 2.0))
        grey = _mixed(grey, fluid, _step(eye.distance(points), 1.5))
    return grey, skin


def _union(one: Floats, other: Floats, blend_mm: float = 18.0) -> Floats:
    """The joined body's distance, rounded where the two meet."""
    overlap = np.clip(blend_mm - np.abs(one - other), 0, None)
    return np.asarray(np.minimum(one, other) - overlap**2 / (4 * blend_mm))


def _radius(points: Floats, centre: NDArray[np.float64], radii: Floats | NDArray[np.float64]) -> Floats:
    scaled = (points - _column(centre, points)) / np.asarray(radii, dtype=np.float32).reshape(3, 1, 1)
    return np.asarray(np.sqrt((scaled**2).sum(axis=0)))


def _paint_glioma(grey: Floats, plane: _Plane, centre: NDArray[np.float64], rng: Generator) -> _Painted:
    """Infiltrating: a dark halo of oedema, a patchy enhancing ring of irregular outline, a dark core."""
    size = plane.size
    radius = _radius(plane.points, centre, rng.uniform(10, 22) * rng.uniform(0.8, 1.25, 3))
    radius = radius + 0.19 * _smooth_noise(size, 10, rng) + 0.12 * _smooth_noise(size, 20, rng)
    inside = _step(plane.hull_mm + 2.0, 2.0)
    oedema = np.clip((1.9 + 0.35 * _smooth_noise(size, 10, rng) - radius) / 0.5, 0, 1) * inside
    grey = _mixed(grey, 0.22, 0.6 * oedema)
    core_grey, core = rng.uniform(0.10, 0.24), _step(radius - 0.95, 0.25) * inside
    grey = _mixed(grey, core_grey, core)
    patchy = np.clip(0.8 + 0.35 * _smooth_noise(size, 14, rng), 0.15, 1)
    ring = np.exp(-(((radius - 0.95) / rng.uniform(0.12, 0.22)) ** 2)) * patchy * inside
    return _mixed(grey, rng.uniform(0.7, 0.95), ring), np.maximum(core, ring)


def _paint_meningioma(grey: Floats, plane: _Plane, centre: NDArray[np.float64], rng: Generator) -> _Painted:
    """Bright, even and sharply bounded, with a broad base on the dura and a thin dark cleft to the brain."""
    size = plane.size
    radius = _radius(plane.points, centre, rng.uniform(11, 22) * rng.uniform(0.9, 1.1, 3))
    radius = radius + 0.07 * _smooth_noise(size, 12, rng)
    inside = _step(plane.hull_mm - 0.5, 1.5)
    grey = _mixed(grey, 0.14, _step(radius - 1.1, 0.08) * inside)
    texture = rng.uniform(0.62, 0.88) + 0.05 * _smooth_noise(size, 36, rng)
    mass = _step(radius - 1.0, 0.08) * inside
    return _mixed(grey, texture, mass), mass


def _paint_pituitary(grey: Floats, plane: _Plane, centre: NDArray[np.float64], rng: Generator) -> _Painted:
    """A small, bright, rounded mass at the sella that grows upward."""
    radius = _radius(plane.points, centre, rng.uniform(7, 13) * np.asarray((1.0, 0.9, rng.uniform(0.9, 1.4))))
    radius = radius + 0.09 * _smooth_noise(plane.size, 16, rng)
    grey = _mixed(grey, 0.08, _step(radius - 1.2, 0.2))
    texture = rng.uniform(0.58, 0.82) + 0.04 * _smooth_noise(plane.size, 36, rng)
    mass = _step(radius - 1.0, 0.15)
    return _mixed(grey, texture, mass), mass


_PAINTERS = {"glioma": _paint_glioma, "meningioma": _paint_meningioma, "pituitary": _paint_pituitary}


def _as_acquired(grey: Floats, rng: Generator) -> NDArray[np.uint8]:
    """What a scanner makes of it: coil shading, window, blur and Rician noise; uint8 (S, S)."""
    size = grey.shape[-1]
    shaded = grey * np.exp(0.16 * _smooth_noise(size, 3, rng))
    windowed = np.clip(shaded * rng.uniform(0.75, 1.25), 0, 1.1) ** rng.uniform(0.8, 1.3)
    blurred = ndimage.gaussian_filter(windowed, rng.uniform(0.2, 0.7))
    noise = rng.normal(0, rng.uniform(0.008, 0.035), (2, size, size))
    measured = np.hypot(blurred + noise[0], noise[1])
    return np.asarray(np.round(np.clip(measured, 0, 1) * 255), dtype=np.uint8)
