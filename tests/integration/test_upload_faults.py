"""Pictures of every kind, and everything that only looks like one, sent to the running server."""

import hashlib
import io
import struct
import zlib

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from sqlalchemy import create_engine, text

from brain_core.imaging import encode_png
from tests.fixtures_bundle import drawn_slice, slice_jpeg
from tests.fixtures_serving import FORM

GREY = Image.fromarray(drawn_slice())
TURNED = 6
"""EXIF orientation: turn by 90 degrees clockwise to see it upright."""


@pytest.fixture
def http(api_url):
    with httpx.Client(base_url=api_url, timeout=60) as http:
        yield http


def saved(image, image_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def with_orientation(image, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(image, "JPEG", exif=exif, quality=95)


def sixteen_bit():
    return Image.fromarray(np.asarray(GREY).astype(np.uint16) * 16)


def see_through():
    image = GREY.convert("RGBA")
    image.putalpha(255)
    return image


def png_chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def black_png(width, height, *more):
    """A valid grey PNG of a few bytes, however large the image is."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = png_chunk(b"IDAT", zlib.compress(bytes(height * (width + 1))))
    return b"".join((b"\x89PNG\r\n\x1a\n", header, *more, pixels, png_chunk(b"IEND", b"")))


def jpeg_that_claims(height, width):
    data = bytearray(slice_jpeg())
    start_of_frame = data.index(b"\xff\xc0")
    data[start_of_frame + 5 : start_of_frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


KINDS = {
    "grey jpeg": slice_jpeg(),
    "rgb jpeg": saved(GREY.convert("RGB"), "JPEG", quality=95),
    "cmyk jpeg": saved(GREY.convert("RGB").convert("CMYK"), "JPEG", quality=95),
    "progressive jpeg": saved(GREY, "JPEG", progressive=True, quality=95),
    "grey png": saved(GREY, "PNG"),
    "palette png": saved(GREY.convert("P"), "PNG"),
    "16-bit png": saved(sixteen_bit(), "PNG"),
    "grey png with alpha": saved(GREY.convert("LA"), "PNG"),
    "rgb png with alpha": saved(see_through(), "PNG"),
    "turned jpeg": with_orientation(GREY.rotate(90, expand=True), TURNED),
}
TEXT_BOMB = png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**26)))
BAD = {
    "empty": (b"", 400),
    "one byte": (b"\xff", 415),
    "text": (b"patient 7, see PACS", 415),
    "html": (b"<!DOCTYPE html><html>404</html>", 415),
    "script": (b"#!/bin/sh\nrm -rf /", 415),
    "dicom": (bytes(128) + b"DICM" + bytes(500), 415),
    "gif": (saved(GREY, "GIF"), 415),
    "webp": (saved(GREY, "WEBP"), 415),
    "tiff": (saved(GREY, "TIFF"), 415),
    "bmp": (saved(GREY, "BMP"), 415),
    "zip": (b"PK\3\4" + bytes(100), 415),
    "head of a jpeg only": (slice_jpeg()[:3], 400),
    "half a jpeg": (slice_jpeg()[:-900], 400),
    "half a png": (encode_png(drawn_slice())[:-900], 400),
    "png without pixels": (encode_png(drawn_slice())[:20], 400),
    "png with a wrong checksum": (encode_png(drawn_slice()).replace(b"IDAT", b"IDAU"), 400),
    "png bomb": (black_png(6000, 6000), 413),
    "jpeg that claims to be huge": (jpeg_that_claims(65535, 65535), 413),
    "compressed text bomb": (black_png(8, 8, TEXT_BOMB), 400),
    "too many bytes": (slice_jpeg() + bytes(200_000), 413),
}


def send(http, data, name="x"):
    return http.post("/v1/predictions", files={"file": (name, data)}, data=FORM)


def test_every_kind_of_picture_is_understood_alike_and_its_hash_is_kept(http, database_url):
    engine = create_engine(database_url)
    for name, data in KINDS.items():
        response = send(http, data)
        assert response.status_code == 201, name
        answer = response.json()
        # 16 bits are stretched to the range that the picture uses, so it is brighter.
        assert answer["predicted_class"] == ("pituitary" if name == "16-bit png" else "meningioma"), name
        query = text("SELECT image_sha256, width, height FROM prediction WHERE id = :id")
        with engine.connect() as connection:
            row = connection.execute(query, {"id": answer["id"]}).one()
        assert tuple(row) == (hashlib.sha256(data).hexdigest(), *GREY.size), name
    engine.dispose()


def test_a_turned_picture_is_stored_upright_and_without_its_metadata(http):
    answer = send(http, KINDS["turned jpeg"]).json()
    owner = {"Authorization": f"Bearer {answer['access_token']}"}
    stored = Image.open(io.BytesIO(http.get(f"/v1/predictions/{answer['id']}/image", headers=owner).content))
    assert dict(stored.getexif()) == {}
    assert np.abs(np.asarray(stored, dtype=int) - np.asarray(GREY, dtype=int)).mean() < 3


def test_what_is_no_acceptable_picture_is_refused_by_its_fault_and_leaves_nothing(http, images):
    slugs = {400: "invalid-image", 413: "image-too-large", 415: "unsupported-image-type"}
    for name, (data, status) in BAD.items():
        response = send(http, data)
        problem = response.json()
        assert (response.status_code, problem["type"]) == (status, f"/problems/{slugs[status]}"), name
        assert "Traceback" not in response.text
    assert list(images.keys("InferenceLogs/")) == []
    assert http.get("/livez").status_code == 200


NAMES = [
    "../../etc/passwd",
    "..\\..\\boot.ini",
    "/etc/shadow",
    "a\x00b.jpg",
    "CON",
    "x" * 3000,
    "%2e%2e%2f",
    "\u202egpj.exe",
]


def test_names_never_become_paths(http, images):
    for name in NAMES:
        response = send(http, slice_jpeg(), name)
        assert response.status_code == 201, name
        assert images.exists(f"InferenceLogs/ImageLogs/meningioma/{response.json()['id']}.jpg"), name
    for path in ("/v1/predictions/..%2f..%2fetc%2fpasswd", "/v1/predictions/%00/image", "/problems/..%2fapp"):
        assert http.get(path).status_code in {404, 422}, path


PART = st.builds(
    lambda name, filename, value, end: (
        b'--b\r\nContent-Disposition: form-data; name="' + name + b'"' + filename + b"\r\n\r\n" + value + end
    ),
    st.sampled_from([b"file", b"consent", b"consent_version", b"other", b'fi"le', b"\xff"]) | st.binary(max_size=8),
    st.sampled_from([b"", b'; filename="x"', b"; filename*=UTF-8''%41", b"; filename"]),
    st.sampled_from([b"true", b"", b"\xff\xd8\xff\xe0JFIF", slice_jpeg()]) | st.binary(max_size=60),
    st.sampled_from([b"\r\n", b"", b"\n", b"\r\n--b--\r\n", b"\r\n--b \r\n"]),
)
BODY = st.lists(PART, max_size=4).map(b"".join) | st.binary(max_size=200)
KIND = st.sampled_from(
    ["multipart/form-data; boundary=b", "multipart/form-data", 'multipart/form-data; boundary="b"; charset=hex', "x/y"]
)


@given(body=BODY, end=st.sampled_from([b"--b--\r\n", b"--b--", b""]), kind=KIND)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_form_makes_the_server_fail(http, body, end, kind):
    response = http.post("/v1/predictions", content=body + end, headers={"Content-Type": kind})
    assert response.status_code in {201, 400, 413, 415, 422}
    assert response.status_code == 201 or response.headers["content-type"] == "application/problem+json"
