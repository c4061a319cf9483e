import asyncio
import contextlib

import pytest
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect

from brain_core.errors import ConsentMissing, ConsentOutdated, ImageTooLarge, UnsupportedImageType
from brain_core.labels import CONSENT_VERSION
from serving.uploads import FORM_BYTES, Upload, read_upload

LIMIT = 100_000
JPEG = b"\xff\xd8\xff\xe0"


def part(name, value, filename=None):
    disposition = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
    return f"--b\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + value + b"\r\n"


def form(*parts):
    return b"".join(parts) + b"--b--\r\n"


def read(body, content_type=b"multipart/form-data; boundary=b", headers=(), chunk=4096, end="http.request"):
    chunks = [body[i : i + chunk] for i in range(0, len(body), chunk)] or [b""]
    taken = []

    async def receive():
        if len(taken) == len(chunks):
            return {"type": "http.disconnect"}
        taken.append(chunks[len(taken)])
        return {
            "type": "http.request",
            "body": taken[-1],
            "more_body": len(taken) < len(chunks) or end != "http.request",
        }

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", content_type), *headers]}
    return asyncio.run(read_upload(Request(scope, receive), LIMIT)), taken


VERSION = part("consent_version", CONSENT_VERSION.encode())
FILE, CONSENT = part("file", b"data", "x.jpg"), part("consent", b"true") + VERSION


@pytest.mark.parametrize("order", [(FILE, CONSENT), (CONSENT, FILE)])
@pytest.mark.parametrize("chunk", [1, 4096])
def test_the_file_is_read_whatever_the_order_and_the_chunks(order, chunk):
    upload, _ = read(form(*order), chunk=chunk)
    assert upload == Upload(b"data", CONSENT_VERSION)


def test_a_file_up_to_the_limit_is_read():
    upload, _ = read(form(part("file", JPEG + b"x" * (LIMIT - len(JPEG)), "x"), CONSENT))
    assert len(upload.data) == LIMIT


def test_a_declared_length_above_the_limit_is_refused_before_reading():
    with pytest.raises(ImageTooLarge, match=str(LIMIT)):
        read(form(FILE, CONSENT), headers=[(b"content-length", str(LIMIT + FORM_BYTES + 1).encode())])


def test_reading_stops_at_the_limit():
    served = []

    async def receive():
        served.append(1)
        return {"type": "http.request", "body": b"x" * 10_000, "more_body": True}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"multipart/form-data; boundary=b")]}
    with pytest.raises((ImageTooLarge, RequestValidationError)):
        asyncio.run(read_upload(Request(scope, receive), LIMIT))
    assert len(served) * 10_000 <= LIMIT + FORM_BYTES + 10_000


@pytest.mark.parametrize("consent", [b"true", b"1", b"yes", b"on", b"True"])
def test_consent_is_any_true_value(consent):
    read(form(FILE, part("consent", consent), VERSION))


@pytest.mark.parametrize(
    "parts", [(FILE, VERSION), (VERSION, part("consent", b"no")), (VERSION, part("consent", b"true", "c.txt"))]
)
def test_anything_else_is_no_consent(parts):
    with pytest.raises(ConsentMissing):
        read(form(*parts))


def test_consent_that_names_no_text_or_another_one_is_none():
    with pytest.raises(ConsentMissing, match=CONSENT_VERSION):
        read(form(FILE, part("consent", b"true")))
    with pytest.raises(ConsentOutdated, match=CONSENT_VERSION):
        read(form(FILE, part("consent", b"true"), part("consent_version", b"1999-01")))


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (form(CONSENT), b"multipart/form-data; boundary=b"),
        (form(CONSENT, part("file", b"text")), b"multipart/form-data; boundary=b"),
        (form(CONSENT, FILE, FILE), b"multipart/form-data; boundary=b"),
        (form(CONSENT, FILE)[:-9], b"multipart/form-data; boundary=b"),
        (form(CONSENT, FILE), b"multipart/form-data"),
        (b"{}", b"application/json"),
    ],
    ids=["no file", "text", "two files", "cut off", "no boundary", "json"],
)
def test_another_body_is_an_invalid_request(body, content_type):
    with pytest.raises(RequestValidationError):
        read(body, content_type)


def test_a_client_that_leaves_ends_the_reading():
    with pytest.raises(ClientDisconnect):
        read(form(CONSENT, FILE)[:40], end="gone")


@given(
    body=st.one_of(
        st.binary(max_size=400), st.binary(max_size=200).map(lambda data: form(part("file", data, "x"), CONSENT))
    ),
    content_type=st.one_of(
        st.just(b"multipart/form-data; boundary=b"),
        st.binary(max_size=40),
        st.just(b"multipart/form-data; charset=hex; boundary=b"),
    ),
)
def test_no_body_raises_anything_unforeseen(body, content_type):
    with contextlib.suppress(ConsentMissing, ImageTooLarge, RequestValidationError, UnsupportedImageType):
        read(body, content_type)
