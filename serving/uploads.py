"""Reading an upload: a multipart body with a byte limit that holds while it is read."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from brain_core.consent import require_consent
from brain_core.errors import ImageTooLarge
from brain_core.labels import CONSENT_VERSION

FORM_BYTES = 16 * 1024
"""What the other fields and the boundaries of the form may take beside the file."""

MULTIPART_SCHEMA: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file", "consent", "consent_version"],
                "properties": {
                    "file": {"type": "string", "format": "binary", "description": "One slice as JPEG or PNG."},
                    "consent": {"type": "boolean", "description": "Must be true."},
                    "consent_version": {
                        "type": "string",
                        "examples": [CONSENT_VERSION],
                        "description": "Version of the text that was agreed to, as `/v1/consent` gives it.",
                    },
                },
            }
        }
    },
}
"""The body as OpenAPI describes it; it is parsed here, not by FastAPI, which would buffer it without a limit."""

_BOOLEAN = TypeAdapter(bool)


@dataclass(frozen=True)
class Upload:
    """The bytes of one file, and the consent text that came with it."""

    data: bytes
    consent_version: str


async def read_upload(request: Request, max_bytes: int) -> Upload:
    """Read the form of an upload.

    Raises:
        ImageTooLarge: the body has more bytes than `max_bytes` and the form's own; raised before it is all read.
        ConsentMissing: `consent` is not true, or names no text.
        ConsentOutdated: it names a text that is unknown or has expired.
        RequestValidationError: not a multipart form, or without a file.
    """
    form = await _read_form(request, max_bytes + FORM_BYTES)
    try:
        consent_version = _require_consent(form)
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise _invalid("file", "Send the image as the file field `file` of a multipart form")
        return Upload(await file.read(), consent_version)
    finally:
        await form.close()


async def _read_form(request: Request, max_bytes: int) -> FormData:
    if _declared_bytes(request) > max_bytes:
        raise _too_large(max_bytes)
    parser = MultiPartParser(request.headers, _limited(request, max_bytes), max_files=1, max_fields=2)
    # Up to the limit the file stays in memory: nothing is written to the disk before consent is known.
    parser.spool_max_size = max_bytes
    try:
        return await parser.parse()
    except (MultiPartException, KeyError) as exc:
        raise _invalid("body", "Send a multipart form with the fields `file` and `consent`") from exc


async def _limited(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    count = 0
    async for chunk in request.stream():
        count += len(chunk)
        if count > max_bytes:
            raise _too_large(max_bytes)
        yield chunk


def _declared_bytes(request: Request) -> int:
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isdecimal() else 0


def _require_consent(form: FormData) -> str:
    try:
        has_consent = _BOOLEAN.validate_python(form.get("consent"))
    except ValidationError:
        has_consent = False
    version = form.get("consent_version")
    return require_consent(has_consent, version if isinstance(version, str) else None).version


def _too_large(max_bytes: int) -> ImageTooLarge:
    return ImageTooLarge(f"The file has too many bytes; at most {max_bytes - FORM_BYTES} are accepted.")


def _invalid(field: str, message: str) -> RequestValidationError:
    return RequestValidationError([{"loc": ("body", field), "msg": message, "type": "value_error"}])
