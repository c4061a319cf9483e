"""The text that the owner of an image agrees to."""

from datetime import UTC, datetime

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError

from brain_core.consent import CONSENT_TEXTS, ConsentText, current_consent
from brain_core.contracts import Consent
from brain_core.errors import ConsentOutdated
from serving.examples import CONSENT
from serving.problems import openapi_responses

router = APIRouter(prefix="/v1/consent", tags=["consent"])


@router.get("", summary="Read the consent text", response_model=Consent, responses=CONSENT | openapi_responses())
def read_consent() -> Consent:
    """The text that is shown to readers now; an upload names its version."""
    return _contract(current_consent())


@router.get(
    "/{version}",
    summary="Read an earlier consent text",
    response_model=Consent,
    responses=CONSENT | openapi_responses(ConsentOutdated, RequestValidationError),
)
def read_consent_version(version: str) -> Consent:
    """A text by its version, also one that has expired: what somebody agreed to can always be read."""
    for text in CONSENT_TEXTS:
        if text.version == version:
            return _contract(text)
    raise ConsentOutdated(f"There never was a consent text {version!r}.")


def _contract(text: ConsentText) -> Consent:
    is_current = text is current_consent() and text.is_valid(datetime.now(UTC))
    return Consent(version=text.version, text=text.text, valid_until=text.valid_until, is_current=is_current)
