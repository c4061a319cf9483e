"""Reading an upload: a multipart body, parsed as it arrives, with limits that hold before anything is buffered.

The file's bytes stay in memory, in the pieces in which they came, and are joined once: nothing touches the disk.
"""

import logging
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from brain_core.bundle import sha256
from brain_core.consent import CONSENT_TEXTS, require_consent
from brain_core.errors import ImageTooLarge
from brain_core.imaging import SIGNATURE_BYTES, require_signature

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
                    "consent": {"type": "boolean", "enum": [True], "description": "Must be true."},
                    "consent_version": {
                        "type": "string",
                        "enum": [text.version for text in CONSENT_TEXTS],
                        "description": "Version of the text that was agreed to, as `/v1/consent` gives it.",
                    },
                },
            }
        }
    },
}
"""The body as OpenAPI describes it; it is parsed here, not by FastAPI, which would buffer it without a limit."""

# Anyone may send a broken form; the request's own event says so.
logging.getLogger("python_multipart").setLevel(logging.ERROR)

_BOOLEAN = TypeAdapter(bool)
_FILE = "file"
_FIELDS = ("consent", "consent_version")


@dataclass(frozen=True)
class Upload:
    """The bytes of one file, and the consent text that came with it."""

    data: bytes
    consent_version: str

    @cached_property
    def sha256(self) -> str:
        """Hash of the bytes as they were sent, in hexadecimal."""
        return sha256(self.data)


def _no_matter(count: int) -> None:
    """Nobody counts."""
    del count


async def read_upload(request: Request, max_bytes: int, on_bytes: Callable[[int], None] = _no_matter) -> Upload:
    """Read the form of an upload.

    Args:
        request: whose body has not been read.
        max_bytes: of the file.
        on_bytes: told of each number of bytes before they are kept; what it raises ends the reading.

    Raises:
        ImageTooLarge: the body has more bytes than `max_bytes` and the form's own; raised before it is all read.
        UnsupportedImageType: the file begins neither like a JPEG nor like a PNG; raised before it is all read.
        ConsentMissing: `consent` is not true, or names no text.
        ConsentOutdated: it names a text that is unknown or has expired.
        RequestValidationError: not a multipart form, or without a file.
    """
    form = await _read_form(request, max_bytes, on_bytes)
    consent_version = _require_consent(form)
    file = form.part(_FILE)
    if file is None or not file.is_file:
        raise _invalid(_FILE, "Send the image as the file field `file` of a multipart form")
    return Upload(file.content(), consent_version)


@dataclass
class _Part:
    """One field of the form, in the pieces in which it came; the name of a file is never kept."""

    name: str
    is_file: bool
    pieces: list[memoryview] = field(default_factory=list)
    size: int = 0

    def content(self) -> bytes:
        return b"".join(self.pieces)


class _Form:
    """Collects the parts of a multipart form while it is written to it, piece by piece."""

    def __init__(self, boundary: bytes, max_bytes: int) -> None:
        self.is_complete = False
        self._max_bytes = max_bytes
        self._parts: dict[str, _Part] = {}
        self._part: _Part | None = None
        self._header_name, self._header_value, self._disposition = b"", b"", b""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._take_header_name,
                "on_header_value": self._take_header_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._open_part,
                "on_part_data": self._take,
                "on_end": self._end,
            },
        )

    def write(self, chunk: bytes) -> None:
        """Parse the next bytes of the body."""
        self._parser.write(chunk)

    def part(self, name: str) -> _Part | None:
        """A part by its name."""
        return self._parts.get(name)

    def text(self, name: str) -> str | None:
        """A field that is no file; None where there is none."""
        part = self._parts.get(name)
        return None if part is None or part.is_file else part.content().decode("utf-8", "replace")

    def _begin_part(self) -> None:
        self._part, self._disposition = None, b""
        self._header_name, self._header_value = b"", b""

    def _take_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _take_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name, self._header_value = b"", b""

    def _open_part(self) -> None:
        kind, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if kind != b"form-data" or name not in (_FILE, *_FIELDS):
            raise _invalid("body", "The form's fields are `file`, `consent` and `consent_version`; no others")
        if name in self._parts:
            raise _invalid(name, "Send this field once")
        self._part = self._parts[name] = _Part(name, b"filename" in options)

    def _take(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        if part is None:
            return
        part.pieces.append(memoryview(data)[start:end])
        size_before, part.size = part.size, part.size + end - start
        if part.size > self._max_bytes:
            raise _too_large(self._max_bytes)
        if part.name == _FILE and part.is_file and size_before < SIGNATURE_BYTES <= part.size:
            # A film or an archive need not arrive in full to be refused.
            require_signature(part.content()[:SIGNATURE_BYTES])

    def _end(self) -> None:
        self.is_complete = True


async def _read_form(request: Request, max_bytes: int, on_bytes: Callable[[int], None]) -> _Form:
    max_body = max_bytes + FORM_BYTES
    if _declared_bytes(request) > max_body:
        raise _too_large(max_bytes)
    try:
        form = _Form(_boundary(request), max_bytes)
        async for chunk in _limited(request, max_body, max_bytes):
            on_bytes(len(chunk))
            form.write(chunk)
    except FormParserError as exc:
        raise _no_form() from exc
    if not form.is_complete:
        raise _no_form()
    return form


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise _no_form()
    return boundary


async def _limited(request: Request, max_body: int, max_bytes: int) -> AsyncGenerator[bytes, None]:
    count = 0
    async for chunk in request.stream():
        count += len(chunk)
        if count > max_body:
            raise _too_large(max_bytes)
        if chunk:
            yield chunk


def _declared_bytes(request: Request) -> int:
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isdecimal() else 0


def _require_consent(form: _Form) -> str:
    try:
        has_consent = _BOOLEAN.validate_python(form.text("consent"))
    except ValidationError:
        has_consent = False
    return require_consent(has_consent, form.text("consent_version")).version


def _too_large(max_bytes: int) -> ImageTooLarge:
    return ImageTooLarge(f"The file has too many bytes; at most {max_bytes} are accepted.")


def _no_form() -> RequestValidationError:
    return _invalid("body", "Send a multipart form with the fields `file` and `consent`")


def _invalid(field: str, message: str) -> RequestValidationError:
    return RequestValidationError([{"loc": ("body", field), "msg": message, "type": "value_error"}])
