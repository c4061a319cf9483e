import io
import time

import numpy as np
import pytest
from PIL import Image

from brain_core.imaging import decode
from serving.predicting import Stopwatch, stored_jpeg
from tests.fixtures_bundle import drawn_slice, photograph_jpeg, slice_jpeg


def encoded(image_format, pixels=None, **options):
    buffer = io.BytesIO()
    Image.fromarray(drawn_slice() if pixels is None else pixels).save(buffer, image_format, **options)
    return buffer.getvalue()


def stored(data):
    return stored_jpeg(data, decode(data))


@pytest.mark.parametrize("data", [slice_jpeg(), photograph_jpeg(), encoded("JPEG", progressive=True)])
def test_a_jpeg_without_metadata_is_kept_byte_by_byte(data):
    assert stored(data) == data


@pytest.mark.parametrize(
    "data",
    [encoded("JPEG", comment=b"x"), encoded("PNG"), slice_jpeg() + b"tail", slice_jpeg() + slice_jpeg()],
    ids=["comment", "png", "tail", "second image"],
)
def test_anything_else_is_encoded_anew(data):
    again = stored(data)
    assert again != data
    assert again.count(b"\xff\xd9") == 1
    assert np.abs(decode(again).grey.astype(int) - decode(data).grey).mean() < 1.5


def test_a_turned_image_is_stored_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded("JPEG", drawn_slice()[:, :100], exif=exif)
    assert Image.open(io.BytesIO(stored(data))).size == (160, 100)


def test_the_stopwatch_names_its_stages():
    watch = Stopwatch()
    with watch.stage("decode"):
        time.sleep(0.002)
    with watch.stage("gate"):
        pass
    assert watch.timings_ms["decode"] >= 2
    assert watch.header() == f"decode;dur={watch.timings_ms['decode']}, gate;dur={watch.timings_ms['gate']}"
