"""From bytes to the model's input: the one preprocessing, used by training and by serving.

An image is decoded once, into a `DecodedImage`; everything else (descriptors, gate, model tensor) starts from there.
"""

import hashlib
import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile, get_sampling

from brain_core.errors import ImageTooLarge, UndecodableImage, UnsupportedImageType

FORMATS = ("JPEG", "PNG")
SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
"""What a JPEG and a PNG begin with."""

SIGNATURE_BYTES = max(map(len, SIGNATURES))
MODEL_SIZE = 160
"""Height and width of the model's input in pixels."""

DETAIL_SIZE = 64

_NEITHER = "The content is neither JPEG nor PNG. Send one of these two."
_SIXTEEN_BIT_MODES = frozenset({"I", "I;16", "I;16B", "I;16L", "F"})
_SUBSAMPLINGS = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION_KEYS = frozenset({"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"})
_EXIF_MARK = b"Exif\0\0"
_NO_EXIF_MARK = b"None\0\0"

# Pillow promises no kind of error for damaged content; these come from its parsers.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    AssertionError,
    EOFError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True)
class ImageLimits:
    """What is accepted before anything is decoded."""

    max_bytes: int = 10 * 2**20
    max_pixels: int = 25_000_000


@dataclass(frozen=True)
class Encoding:
    """How the file was written: says nothing of the patient, but often where the file comes from.

    Attributes:
        quantisation: short hash of the JPEG quantisation tables; empty for PNG.
        subsampling: of a JPEG's colour: `4:4:4`, `4:2:2`, `4:2:0` or `other`; `grey` without colour; empty for PNG.
        is_progressive: the JPEG is progressive.
        has_exif: the file carries EXIF, whether or not it can be read.
    """

    quantisation: str = ""
    subsampling: str = ""
    is_progressive: bool = False
    has_exif: bool = False


@dataclass(frozen=True)
class DecodedImage:
    """One decoded image.

    Attributes:
        grey: luminance, uint8 (H, W), with the EXIF orientation applied where it can be read.
        channel_spread: mean over the pixels of max - min of R, G and B, in [0, 255]; 0 for a grey image.
        width: pixels of `grey` across.
        height: pixels of `grey` down.
        format: `JPEG` or `PNG`, told from the content.
        encoding: how the file was written.
    """

    grey: NDArray[np.uint8]
    channel_spread: float
    width: int
    height: int
    format: str
    encoding: Encoding = Encoding()

    @cached_property
    def grey_counts(self) -> NDArray[np.int64]:
        """Number of pixels at each grey value: int64 (256,)."""
        return grey_counts(self.grey)

    @cached_property
    def detail(self) -> NDArray[np.uint8]:
        """The image as uint8 (64, 64): enough to tell a copy of a slice from the next slice."""
        return resize(self.grey, DETAIL_SIZE)


def decode(data: bytes, limits: ImageLimits | None = None) -> DecodedImage:
    """Decode a JPEG or PNG safely: type by content, limits from the header, then the full decode.

    Grey, RGB, CMYK, palette, alpha (on black) and 16-bit images are all understood. Damaged EXIF costs the orientation
    at most, never the image.

    Raises:
        ImageTooLarge: more bytes or pixels than `limits` allow.
        UnsupportedImageType: the content is neither JPEG nor PNG.
        UndecodableImage: empty, truncated or damaged.
    """
    limits = limits or ImageLimits()
    if not data:
        raise UndecodableImage("The file is empty. Send a JPEG or PNG image.")
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(f"The file has {len(data)} bytes; at most {limits.max_bytes} are accepted.")
    require_signature(data)
    with _open(data) as image:
        _check_pixels(image, limits)
        return _decoded(image)


def require_signature(head: bytes) -> None:
    """Make sure that a file begins like an image.

    Args:
        head: at least its first `SIGNATURE_BYTES`, or all of it.

    Raises:
        UnsupportedImageType: it is neither a JPEG nor a PNG.
    """
    if not head.startswith(SIGNATURES):
        raise UnsupportedImageType(_NEITHER)


def model_tensor(image: DecodedImage, size: int = MODEL_SIZE) -> NDArray[np.uint8]:
    """The model's input for one image: uint8 (size, size, 1) in [0, 255].

    The image is resized without keeping its aspect, as the public data set was; positions given as fractions of
    width and height therefore mean the same place before and after.
    """
    return resize(image.grey, size)[..., np.newaxis]


def resize(grey: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize uint8 (H, W) to (size, size) by area-aware bilinear filtering (antialiased)."""
    resized = Image.fromarray(grey).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.uint8)


def grey_counts(grey: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Number of pixels at each grey value of uint8 (H, W): int64 (256,)."""
    return np.array(Image.fromarray(grey).histogram(), dtype=np.int64)


def pixel_sha256(grey: NDArray[np.uint8]) -> str:
    """Hash of the grey pixels (H, W) and their shape: the same for the same picture, whatever file it came in."""
    digest = hashlib.sha256(repr(grey.shape).encode())
    digest.update(np.ascontiguousarray(grey).data)
    return digest.hexdigest()


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """PNG bytes of uint8 (H, W) or (H, W, 3)."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=False)
    return buffer.getvalue()


def encode_jpeg(pixels: NDArray[np.uint8], quality: int = 90) -> bytes:
    """JPEG bytes of uint8 (H, W) or (H, W, 3)."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()


def _open(data: bytes) -> Image.Image:
    try:
        return _opened(data)
    except UnidentifiedImageError as exc:
        raise UndecodableImage("The image's header is damaged or incomplete.") from exc
    except Image.DecompressionBombError as exc:
        raise ImageTooLarge("The image has far more pixels than are accepted.") from exc
    except _DAMAGE as exc:
        raise UndecodableImage(f"The image's header is damaged: {exc}.") from exc


def _opened(data: bytes) -> Image.Image:
    with _quiet_pillow():
        try:
            return Image.open(io.BytesIO(data), formats=FORMATS)
        except _DAMAGE:
            if _EXIF_MARK not in data:
                raise
            return _opened_with_late_exif(data)


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    # Pillow only warns about bombs below twice its limit, our own limit is checked next; and about damaged EXIF.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        yield


def _opened_with_late_exif(data: bytes) -> Image.Image:
    # Pillow looks for a JPEG's resolution in its EXIF while it opens the file, and does not survive all damage there.
    image = Image.open(io.BytesIO(data.replace(_EXIF_MARK, _NO_EXIF_MARK)), formats=FORMATS)
    if isinstance(image, JpegImageFile):
        parts = [part.removeprefix(_NO_EXIF_MARK) for _, part in image.applist if part.startswith(_NO_EXIF_MARK)]
        image.info["exif"] = _EXIF_MARK + b"".join(parts)
    return image


def _check_pixels(image: Image.Image, limits: ImageLimits) -> None:
    pixels = image.width * image.height
    if pixels > limits.max_pixels:
        raise ImageTooLarge(
            f"The image has {image.width}x{image.height} pixels; at most {limits.max_pixels} are accepted."
        )


def _decoded(image: Image.Image) -> DecodedImage:
    # Pillow has names of its own for a JPEG that several pictures share.
    image_format = "JPEG" if isinstance(image, JpegImageFile) else "PNG"
    try:
        image.load()
        encoding = _encoding(image)
        grey, spread = _grey_and_spread(_upright(image))
    except _DAMAGE as exc:
        raise UndecodableImage(f"The image is damaged or truncated: {exc}.") from exc
    height, width = grey.shape
    return DecodedImage(grey, spread, width, height, image_format, encoding)


def _upright(image: Image.Image) -> Image.Image:
    method = None if _ORIENTATION_KEYS.isdisjoint(image.info) else _turn(image)
    return image if method is None else image.transpose(method)


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        with _quiet_pillow():
            return _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except _DAMAGE:
        return None


def _encoding(image: Image.Image) -> Encoding:
    has_exif = bool(image.info.get("exif") or image.info.get("Raw profile type exif"))
    if not isinstance(image, JpegImageFile):
        return Encoding(has_exif=has_exif)
    tables = repr(sorted(image.quantization.items())).encode()
    return Encoding(
        quantisation=hashlib.blake2b(tables, digest_size=4).hexdigest(),
        subsampling="grey" if image.layers == 1 else _SUBSAMPLINGS.get(get_sampling(image), "other"),
        is_progressive="progressive" in image.info,
        has_exif=has_exif,
    )


def _grey_and_spread(image: Image.Image) -> tuple[NDArray[np.uint8], float]:
    if image.mode in _SIXTEEN_BIT_MODES:
        return _scaled_to_uint8(np.asarray(image, dtype=np.float64)), 0.0
    if image.mode in {"L", "1"}:
        return np.array(image.convert("L") if image.mode == "1" else image, dtype=np.uint8), 0.0
    return _colour_grey_and_spread(_on_black(image) if image.has_transparency_data else _rgb(image))


def _colour_grey_and_spread(image: Image.Image) -> tuple[NDArray[np.uint8], float]:
    # Planes are several times faster than the interleaved pixels.
    red, green, blue = (np.asarray(band) for band in image.split())
    if np.array_equal(red, green) and np.array_equal(green, blue):
        # Most MRI slices in colour files: the luminance of equal channels is their value.
        return red.copy(), 0.0
    highest = np.maximum(np.maximum(red, green), blue)
    lowest = np.minimum(np.minimum(red, green), blue)
    return np.array(image.convert("L"), dtype=np.uint8), float((highest - lowest).mean())


def _rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")


def _on_black(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    black = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
    return Image.alpha_composite(black, rgba).convert("RGB")


def _scaled_to_uint8(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    # 12-bit scanners fill only a part of the 16 bits, so the image's own range is used.
    low, high = float(values.min()), float(values.max())
    span = high - low if high > low else 1.0
    return np.round((values - low) / span * 255).astype(np.uint8)
