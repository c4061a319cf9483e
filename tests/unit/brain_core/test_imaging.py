import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from brain_core.errors import ImageTooLarge, InvalidImage, UndecodableImage, UnsupportedImageType
from brain_core.imaging import MODEL_SIZE, Encoding, ImageLimits, decode, encode_jpeg, encode_png, model_tensor


def encoded(image: Image.Image, image_format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=image_format, **options)
    return buffer.getvalue()


def ramp(height: int = 40, width: int = 60) -> np.ndarray:
    return np.tile(np.linspace(0, 255, width, dtype=np.uint8), (height, 1))


def test_a_grey_png_comes_back_as_it_was():
    image = decode(encode_png(ramp()))
    assert (image.width, image.height, image.format, image.channel_spread) == (60, 40, "PNG", 0.0)
    np.testing.assert_array_equal(image.grey, ramp())


def test_a_jpeg_is_told_by_its_content():
    assert decode(encode_jpeg(ramp())).format == "JPEG"


def test_a_colour_image_has_a_channel_spread():
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 200
    assert decode(encode_png(red)).channel_spread == 200.0


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_png_mode_becomes_grey(mode):
    grey = Image.fromarray(ramp())
    image = Image.fromarray(ramp().astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    decoded = decode(encoded(image))
    assert decoded.grey.dtype == np.uint8
    assert decoded.grey.shape == (40, 60)
    assert decoded.grey[:, -1].mean() > decoded.grey[:, 0].mean()


def test_sixteen_bits_keep_their_order_and_fill_the_range():
    values = np.linspace(100, 4000, 60).astype(np.uint16)
    decoded = decode(encoded(Image.fromarray(np.tile(values, (4, 1)))))
    assert decoded.grey[0, 0] == 0
    assert decoded.grey[0, -1] == 255
    assert (np.diff(decoded.grey[0].astype(int)) >= 0).all()


def test_cmyk_jpeg_becomes_grey():
    assert decode(encoded(Image.new("CMYK", (9, 7)), "JPEG")).grey.shape == (7, 9)


def test_transparent_pixels_are_black():
    image = Image.new("RGBA", (4, 4), (255, 255, 255, 0))
    assert decode(encoded(image)).grey.max() == 0


def test_exif_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = decode(encoded(Image.fromarray(ramp(40, 60)), "JPEG", exif=exif))
    assert image.grey.shape == (60, 40)
    assert (image.width, image.height) == (40, 60)


def with_exif(image_format: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif.update({0x0112: 6, 0x010E: "a description", 0x011A: 72.0, 0x0128: 2, 0x8769: {0x9202: 1.5}})
    return encoded(Image.fromarray(ramp(40, 60)), image_format, exif=exif)


def exif_place(data: bytes) -> slice:
    """Where the tags are."""
    if data.startswith(b"\xff\xd8"):
        mark = data.index(b"Exif\0\0")
        return slice(mark + 6, mark - 2 + int.from_bytes(data[mark - 2 : mark]))
    mark = data.index(b"eXIf")
    return slice(mark + 4, mark + 4 + int.from_bytes(data[mark - 4 : mark]))


def with_right_checksum(png: bytes) -> bytes:
    tags = exif_place(png)
    checksum = zlib.crc32(b"eXIf" + png[tags])
    return png[: tags.stop] + struct.pack(">I", checksum) + png[tags.stop + 4 :]


@pytest.mark.parametrize("characters", [1, 8])
def test_the_orientation_counts_although_the_resolution_is_typed_as_text(characters):
    clean = with_exif()
    text, fraction = (struct.pack(">HHI", 0x011A, *kind) for kind in ((2, characters), (5, 1)))
    damaged = decode(clean.replace(fraction, text))
    assert damaged.encoding.has_exif
    assert damaged.grey.shape == (60, 40)
    np.testing.assert_array_equal(damaged.grey, decode(clean).grey)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
def test_exif_that_cannot_be_read_is_ignored_and_told(image_format):
    data = bytearray(with_exif(image_format))
    data[exif_place(data)] = b"?" * len(data[exif_place(data)])
    image = decode(with_right_checksum(bytes(data)) if image_format == "PNG" else bytes(data))
    assert image.grey.shape == (40, 60)
    assert image.encoding.has_exif


@given(st.sampled_from(["JPEG", "PNG"]), st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4))
def test_damage_within_exif_costs_the_orientation_at_most(image_format, damages):
    clean = with_exif(image_format)
    data, tags = bytearray(clean), exif_place(clean)
    for place, value in damages:
        data[tags.start + place % (tags.stop - tags.start)] = value
    image = decode(with_right_checksum(bytes(data)) if image_format == "PNG" else bytes(data))
    np.testing.assert_array_equal(np.sort(image.grey, axis=None), np.sort(decode(clean).grey, axis=None))
    assert image.encoding.has_exif


@given(st.sampled_from(["JPEG", "PNG"]), st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=4))
def test_damage_anywhere_in_an_image_with_exif_gives_an_image_or_one_of_our_errors(image_format, damages):
    data = bytearray(with_exif(image_format))
    for place, value in damages:
        data[place % len(data)] = value
    try:
        decode(bytes(data))
    except InvalidImage:
        return


def test_a_jpeg_of_several_pictures_is_a_jpeg_and_its_first_one_counts():
    pictures = [Image.fromarray(ramp(40, 60)), Image.fromarray(ramp(20, 30))]
    image = decode(encoded(pictures[0], "MPO", save_all=True, append_images=pictures[1:]))
    assert (image.format, image.width, image.height) == ("JPEG", 60, 40)


def test_an_empty_file_is_named_so():
    with pytest.raises(UndecodableImage, match="empty"):
        decode(b"")


@pytest.mark.parametrize("data", [b"hello, I am a text file", b"GIF89a" + b"\0" * 50, b"%PDF-1.7\n"])
def test_other_content_is_refused_whatever_its_name(data):
    with pytest.raises(UnsupportedImageType, match="neither JPEG nor PNG"):
        decode(data)


def test_a_real_gif_is_refused():
    with pytest.raises(UnsupportedImageType):
        decode(encoded(Image.fromarray(ramp()), "GIF"))


@pytest.mark.parametrize("image_format", ["PNG", "JPEG"])
def test_a_truncated_image_is_refused(image_format):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), image_format)
    with pytest.raises(UndecodableImage):
        decode(data[: len(data) // 2])


def test_more_bytes_than_allowed_are_refused():
    with pytest.raises(ImageTooLarge, match="at most 50 are accepted"):
        decode(encode_png(ramp()), ImageLimits(max_bytes=50))


def test_more_pixels_than_allowed_are_refused_from_the_header():
    with pytest.raises(ImageTooLarge, match="60x40 pixels"):
        decode(encode_png(ramp()), ImageLimits(max_pixels=1000))


@pytest.mark.parametrize("side", [6_000, 60_000])
def test_a_bomb_is_refused_without_decoding_it(side):
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    idat = b"IDAT" + zlib.compress(b"\0" * 100)
    bomb += struct.pack(">I", len(idat) - 4) + idat + struct.pack(">I", zlib.crc32(idat))
    with pytest.raises(ImageTooLarge):
        decode(bomb)


@given(st.binary(max_size=300))
def test_any_bytes_give_an_image_or_one_of_our_errors(data):
    try:
        decode(data)
    except InvalidImage:
        return


@given(st.integers(0, 400), st.binary(min_size=1, max_size=8))
def test_damage_anywhere_in_a_jpeg_gives_an_image_or_one_of_our_errors(position, damage):
    data = bytearray(encode_jpeg(ramp()))
    data[position : position + len(damage)] = damage
    try:
        decode(bytes(data))
    except InvalidImage:
        return


def test_the_model_tensor_has_the_contracts_shape():
    tensor = model_tensor(decode(encode_png(ramp(300, 200))))
    assert tensor.shape == (MODEL_SIZE, MODEL_SIZE, 1)
    assert tensor.dtype == np.uint8


def test_fractions_mean_the_same_place_before_and_after():
    image = np.zeros((200, 100), np.uint8)
    image[150:160, 20:25] = 255
    tensor = model_tensor(decode(encode_png(image)))[..., 0]
    rows, columns = np.mgrid[0:MODEL_SIZE, 0:MODEL_SIZE] + 0.5
    assert (rows * tensor).sum() / tensor.sum() / MODEL_SIZE == pytest.approx(0.775, abs=0.01)
    assert (columns * tensor).sum() / tensor.sum() / MODEL_SIZE == pytest.approx(0.225, abs=0.01)


def test_equal_channels_give_the_very_grey_values_and_no_spread():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = decode(encode_png(np.repeat(values[..., np.newaxis], 3, axis=-1)))
    np.testing.assert_array_equal(image.grey, values)
    assert image.channel_spread == 0.0
    assert image.grey.flags.writeable


@given(st.integers(0, 2**32 - 1))
def test_colour_becomes_pillows_luminance_and_the_mean_of_the_largest_differences(seed):
    colours = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    image = decode(encode_png(colours))
    np.testing.assert_array_equal(image.grey, np.asarray(Image.fromarray(colours).convert("L")))
    assert image.channel_spread == (colours.max(axis=-1) - colours.min(axis=-1)).mean()
    assert image.grey.flags.writeable


def test_the_encoding_tells_tables_subsampling_progression_and_exif():
    exif = Image.Exif()
    exif[0x010E] = "a description"
    colour = Image.fromarray(ramp()).convert("RGB")
    full = decode(encoded(colour, "JPEG", quality=80, subsampling="4:4:4", progressive=True, exif=exif)).encoding
    halved = decode(encoded(colour, "JPEG", quality=80, subsampling="4:2:0")).encoding
    assert full == Encoding(halved.quantisation, "4:4:4", is_progressive=True, has_exif=True)
    assert halved == Encoding(full.quantisation, "4:2:0", is_progressive=False, has_exif=False)
    assert len(full.quantisation) == 8


def test_each_quality_has_tables_of_its_own_whatever_the_picture():
    first, second = (decode(encode_jpeg(pixels, 90)).encoding for pixels in (ramp(), ramp(9, 9)))
    assert first == second
    assert first.subsampling == "grey"
    assert decode(encode_jpeg(ramp(), 91)).encoding.quantisation != first.quantisation


def test_other_colour_spaces_and_png_have_an_encoding():
    assert decode(encoded(Image.new("CMYK", (9, 7)), "JPEG")).encoding.subsampling == "other"
    assert decode(encode_png(ramp())).encoding == Encoding()
