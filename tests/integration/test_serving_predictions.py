import io
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import httpx
import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from sqlalchemy import create_engine, text

from brain_core.contracts import CreatedPrediction
from brain_core.descriptors import DESCRIPTOR_NAMES
from brain_core.errors import ApiError
from brain_core.imaging import MODEL_SIZE
from brain_core.labels import CLASSES, CONSENT_VERSION, NOTICE
from tests.fixtures_bundle import drawn_slice, photograph_jpeg, slice_jpeg
from tests.fixtures_serving import request_events, wait_until

CONSENT = {"consent": "true", "consent_version": CONSENT_VERSION}


@pytest.fixture
def rows(database_url):
    """Reads the table of predictions."""
    engine = create_engine(database_url)

    def read():
        with engine.connect() as connection:
            return connection.execute(text("SELECT * FROM prediction ORDER BY id")).mappings().all()

    yield read
    engine.dispose()


@pytest.fixture
def http(api_url):
    with httpx.Client(base_url=api_url, timeout=30) as http:
        yield http


def upload(http, data, form=CONSENT):
    return http.post("/v1/predictions", files={"file": ("x.jpg", data)}, data=form)


def keys(images):
    return list(images.keys("InferenceLogs/"))


def encoded(image_format, **options):
    buffer = io.BytesIO()
    Image.fromarray(drawn_slice()).save(buffer, image_format, **options)
    return buffer.getvalue()


def assert_problem(response, status, slug):
    problem = response.json()
    assert (response.status_code, problem["type"]) == (status, f"/problems/{slug}")
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["notice"] == NOTICE
    assert "Traceback" not in response.text
    return problem


def all_tags(data):
    image = Image.open(io.BytesIO(data))
    return {*image.info} - {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi"}, dict(image.getexif())


@pytest.mark.parametrize("label", CLASSES)
def test_a_slice_is_classified_and_kept(http, images, rows, label):
    data = slice_jpeg(label)
    response = upload(http, data)
    prediction = CreatedPrediction.model_validate(response.json())
    assert response.status_code == 201
    assert prediction.predicted_class == label
    assert sum(prediction.probabilities.values()) == pytest.approx(1)
    assert prediction.confidence == prediction.probabilities[label]
    assert prediction.validation.is_valid
    assert prediction.model_version == "1"
    assert prediction.notice == NOTICE
    assert set(prediction.timings_ms) >= {"decode", "predict", "image"}
    assert "row;dur=" in response.headers["server-timing"]
    key = f"InferenceLogs/ImageLogs/{label}/{prediction.id}.jpg"
    assert keys(images) == [key]
    assert images.read(key) == data
    (row,) = rows()
    assert (row["id"], row["image_key"], row["consent_version"]) == (prediction.id, key, CONSENT_VERSION)
    assert (row["width"], row["height"], len(row["embedding"])) == (160, 160, (MODEL_SIZE // 16) ** 2)
    assert set(row["descriptors"]) == set(DESCRIPTOR_NAMES)
    assert row["explanation"]["peak"] == list(prediction.explanation.peak)


def test_a_prediction_is_read_again_as_it_was_given(client):
    created = client.predict(slice_jpeg(), consent=True)
    again = client.get(created.id, created.access_token)
    assert again.model_dump() == created.model_dump(exclude={"access_token"})


def test_the_explanation_is_a_coloured_picture_of_the_slice(client):
    created = client.predict(slice_jpeg("pituitary", size=200), consent=True)
    picture = Image.open(io.BytesIO(client.explanation_png(created.id, created.access_token)))
    pixels = np.asarray(picture).astype(int)
    assert (picture.format, picture.size) == ("PNG", (200, 200))
    assert (pixels.max(axis=-1) - pixels.min(axis=-1)).max() > 30


def test_the_explanation_of_a_wide_slice_is_reduced(client):
    created = client.predict(_wide_png(), consent=True)
    picture = Image.open(io.BytesIO(client.explanation_png(created.id, created.access_token)))
    assert max(picture.size) == 1024


def _wide_png():
    buffer = io.BytesIO()
    Image.fromarray(drawn_slice()).resize((2000, 480)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        encoded("JPEG", comment=b"SECRET", quality=95),
        encoded("JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x0e\0\2\0\0\0\7\0\0\0\x1aSECRET\0", quality=95),
        encoded("JPEG", icc_profile=b"SECRET" * 30, quality=95),
        encoded("JPEG", quality=95) + b"SECRET",
        encoded("JPEG", quality=95) + b"SECRET\xff\xd9",
        encoded("PNG", pnginfo=(lambda i: (i.add_text("Patient", "SECRET"), i)[1])(PngImagePlugin.PngInfo())),
    ],
    ids=["comment", "exif", "icc", "trailing", "trailing with end marker", "png text"],
)
def test_metadata_is_not_stored(client, images, data):
    assert b"SECRET" in data
    created = client.predict(data, consent=True)
    stored = client.image(created.id, created.access_token)
    assert b"SECRET" not in stored
    assert all_tags(stored) == (set(), {})
    assert np.abs(np.asarray(Image.open(io.BytesIO(stored))).astype(int) - drawn_slice()).mean() < 2


def test_a_photograph_is_refused_and_kept_apart(http, images, rows):
    response = upload(http, photograph_jpeg())
    problem = assert_problem(response, 422, "not-a-brain-mri")
    assert problem["validation"]["is_valid"] is False
    assert "colour" in problem["detail"]
    assert keys(images) == [f"InferenceLogs/ImageLogsForInvalidImages/{problem['id']}.jpg"]
    (row,) = rows()
    assert (row["is_valid"], row["predicted_class"], row["embedding"]) == (False, None, None)
    owner = {"Authorization": f"Bearer {problem['access_token']}"}
    path = f"/v1/predictions/{problem['id']}"
    assert_problem(http.get(path, headers=owner), 422, "not-a-brain-mri")
    assert_problem(http.get(f"{path}/explanation.png", headers=owner), 422, "not-a-brain-mri")
    assert_problem(http.put(f"{path}/feedback", headers=owner, json={"agrees": True}), 422, "not-a-brain-mri")
    assert http.get(f"{path}/image", headers=owner).status_code == 200
    assert http.delete(path, headers=owner).status_code == 204
    assert keys(images) == []


@pytest.mark.parametrize(
    ("form", "slug"),
    [
        ({}, "consent-missing"),
        ({"consent": "false", "consent_version": CONSENT_VERSION}, "consent-missing"),
        ({"consent": "perhaps", "consent_version": CONSENT_VERSION}, "consent-missing"),
        ({"consent": "true"}, "consent-missing"),
        ({"consent": "true", "consent_version": "1999-01"}, "consent-outdated"),
    ],
)
def test_without_consent_nothing_is_stored(http, images, rows, form, slug):
    assert_problem(upload(http, slice_jpeg(), form), 400, slug)
    assert keys(images) == []
    assert rows() == []


@pytest.mark.parametrize(
    ("data", "status", "slug"),
    [
        (b"", 400, "invalid-image"),
        (slice_jpeg()[:900], 400, "invalid-image"),
        (b"hello", 415, "unsupported-image-type"),
        (encoded("GIF"), 415, "unsupported-image-type"),
        (encoded("BMP"), 415, "unsupported-image-type"),
        (b"\xff\xd8\xff" + b"x" * 190_000 + b"x" * 60_000, 413, "image-too-large"),
        (slice_jpeg() + b"x" * 199_000, 413, "image-too-large"),
        (slice_jpeg(size=1001), 413, "image-too-large"),
    ],
    ids=["empty", "truncated", "text", "gif", "bmp", "body too long", "file too long", "too many pixels"],
)
def test_bytes_that_are_no_acceptable_image_are_refused(http, images, rows, data, status, slug):
    assert_problem(upload(http, data), status, slug)
    assert keys(images) == []
    assert rows() == []


def test_a_stream_without_a_length_is_cut_at_the_limit(http):
    def stream():
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n\xff\xd8\xff'
        for _ in range(40):
            yield b"x" * 10_000

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert_problem(http.post("/v1/predictions", content=stream(), headers=headers), 413, "image-too-large")


@pytest.mark.parametrize(
    "request_options",
    [
        {"data": CONSENT},
        {"json": {"consent": True}},
        {"content": b"", "headers": {"Content-Type": "multipart/form-data"}},
        {"content": b"junk", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
        {"files": {"consent": (None, "true"), "file": (None, "text")}},
        {"files": [("file", ("a", b"a")), ("file", ("b", b"b"))], "data": CONSENT},
    ],
    ids=["no file", "json", "no boundary", "junk", "file as text", "two files"],
)
def test_a_request_that_is_no_upload_form_is_refused(http, request_options):
    response = http.post("/v1/predictions", **request_options)
    assert response.status_code in {400, 422}
    assert_problem(response, response.status_code, response.json()["type"].removeprefix("/problems/"))
    assert response.json()["type"] in {"/problems/invalid-request", "/problems/consent-missing"}


@pytest.mark.parametrize("name", ["../../etc/passwd", "a\\b.exe", "x" * 300, "\u202egpj.exe", ""])
def test_file_names_are_never_used(http, images, name):
    response = http.post("/v1/predictions", files={"file": (name or "n", slice_jpeg(), "text/html")}, data=CONSENT)
    assert keys(images) == [f"InferenceLogs/ImageLogs/meningioma/{response.json()['id']}.jpg"]


@pytest.mark.parametrize("credentials", ["Bearer wrong", "Bearer t\u00f6ken", "Bearer", "Basic d3Jvbmc6", None])
def test_only_the_owner_reaches_a_prediction(client, http, credentials):
    created = client.predict(slice_jpeg(), consent=True)
    path = f"/v1/predictions/{created.id}"
    headers = {} if credentials is None else {"Authorization": credentials.encode()}
    for url in (path, f"{path}/image", f"{path}/explanation.png"):
        assert_problem(http.get(url, headers=headers), 404, "prediction-not-found")
    assert_problem(http.put(f"{path}/feedback", headers=headers, json={"agrees": True}), 404, "prediction-not-found")
    assert_problem(http.delete(path, headers=headers), 404, "prediction-not-found")
    assert client.get(created.id, created.access_token).id == created.id


def test_an_unknown_id_is_not_found_and_a_malformed_one_is_invalid(http, client):
    with pytest.raises(ApiError) as caught:
        client.get(uuid4(), "token")
    assert caught.value.status == 404
    assert_problem(http.get("/v1/predictions/42"), 422, "invalid-request")


def test_a_correction_moves_the_image_and_a_later_one_moves_it_on(client, images):
    data = slice_jpeg("glioma")
    created = client.predict(data, consent=True)
    for revision, label in enumerate(("pituitary", "meningioma"), start=1):
        feedback = client.feedback(created.id, created.access_token, label)
        assert (feedback.revision, feedback.corrected_class, feedback.agrees) == (revision, label, False)
        assert keys(images) == [f"InferenceLogs/ImageLogsWithFeedback/{label}/{created.id}.jpg"]
    assert client.feedback(created.id, created.access_token).revision == 3
    assert keys(images) == [f"InferenceLogs/ImageLogs/glioma/{created.id}.jpg"]
    assert client.image(created.id, created.access_token) == data


@pytest.mark.parametrize(
    ("body", "slug"),
    [
        ({"agrees": False, "corrected_class": "astrocytoma"}, "unknown-class"),
        ({"agrees": False, "corrected_class": 3}, "unknown-class"),
        ({"agrees": False, "corrected_class": "meningioma"}, "unknown-class"),
        ({"agrees": False}, "invalid-request"),
        ({"agrees": True, "corrected_class": "glioma"}, "invalid-request"),
        ({"agrees": True, "reviewer": "me"}, "invalid-request"),
        ([], "invalid-request"),
    ],
)
def test_feedback_that_makes_no_sense_is_refused(client, http, body, slug):
    created = client.predict(slice_jpeg("meningioma"), consent=True)
    headers = {"Authorization": f"Bearer {created.access_token}"}
    response = http.put(f"/v1/predictions/{created.id}/feedback", json=body, headers=headers)
    assert_problem(response, 422, slug)


def test_erasing_removes_image_row_content_and_feedback(client, images, rows):
    created = client.predict(slice_jpeg("glioma"), consent=True)
    client.feedback(created.id, created.access_token, "pituitary")
    leftover = f"InferenceLogs/ImageLogs/glioma/{created.id}.jpg"
    images.write(leftover, b"as a crash between copy and delete leaves it")
    client.erase(created.id, created.access_token)
    assert keys(images) == []
    (row,) = rows()
    assert row["deleted_at"] is not None
    assert (row["embedding"], row["image_sha256"], row["predicted_class"], row["descriptors"]) == (None,) * 4
    for call in (client.get, client.image, client.erase):
        with pytest.raises(ApiError) as caught:
            call(created.id, created.access_token)
        assert (caught.value.status, caught.value.problem["type"]) == (410, "/problems/erased")


def test_parallel_uploads_each_get_their_own_answer(client, images):
    labels = [CLASSES[n % 4] for n in range(20)]
    uploads = [slice_jpeg(label, seed) for seed, label in enumerate(labels)]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda data: client.predict(data, consent=True), uploads))
    assert [answer.predicted_class for answer in answers] == labels
    assert len({answer.access_token for answer in answers}) == 20
    for data, answer in zip(uploads, answers, strict=True):
        assert client.image(answer.id, answer.access_token) == data


def test_parallel_feedback_never_loses_the_image(client, images):
    data = slice_jpeg("glioma")
    created = client.predict(data, consent=True)
    verdicts = ["pituitary", "notumor", None, "meningioma"] * 5
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda verdict: client.feedback(created.id, created.access_token, verdict), verdicts))
    assert len(keys(images)) == 1
    assert client.image(created.id, created.access_token) == data


def test_each_request_is_logged_once_without_what_is_private(client, caplog):
    caplog.set_level(logging.INFO, logger="serving.request_log")
    created = client.predict(slice_jpeg(), consent=True)
    client.get(created.id, created.access_token)
    with pytest.raises(ApiError):
        client.get(created.id, "wrong-token")
    # The event follows the answer.
    wait_until(lambda: len(request_events(caplog)) == 3)
    events = request_events(caplog)
    assert [(e["event.action"], e["http.response.status_code"]) for e in events] == [
        ("predict", 201),
        ("read_prediction", 200),
        ("read_prediction", 404),
    ]
    assert {e["brain.prediction.id"] for e in events} == {str(created.id)}
    assert events[0]["brain.http.route"] == "/v1/predictions"
    assert events[1]["brain.http.route"] == "/v1/predictions/{prediction_id}"
    assert events[0]["brain.prediction.class"] == "meningioma"
    assert events[0]["event.duration"] > 1_000_000
    assert events[2]["error.type"] == "prediction-not-found"
    text_of_all = json.dumps(events, default=str)
    for secret in (created.access_token, "wrong-token", "127.0.0.1"):
        assert secret not in text_of_all


def test_ids_are_time_ordered(client):
    first, second = (client.predict(slice_jpeg(seed=seed), consent=True).id for seed in range(2))
    assert UUID(str(first)).version == 7
    assert first < second
