"""The texts that readers agree to, by version; an upload names the version that its owner has read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from brain_core.errors import ConsentMissing, ConsentOutdated
from brain_core.labels import CONSENT_TEXT, CONSENT_VERSION


@dataclass(frozen=True)
class ConsentText:
    """One version of the text.

    Attributes:
        version: what an upload names.
        text: what is agreed to.
        valid_until: from when on an upload may no longer name it (UTC); None while there is no end.
    """

    version: str
    text: str
    valid_until: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        """May an upload name it at this time?"""
        return self.valid_until is None or now < self.valid_until


_FIRST = ConsentText(
    "2026-11",
    "I may share this image: it shows nobody's name or other identifying marks. "
    "It is stored together with the prediction and my feedback to judge and improve the model. "
    "I can erase it at any time with the access token of the answer.",
    valid_until=datetime(2027, 1, 1, tzinfo=UTC),
)
CONSENT_TEXTS: tuple[ConsentText, ...] = (_FIRST, ConsentText(CONSENT_VERSION, CONSENT_TEXT))
"""Every text that was ever agreed to, oldest first; the last is shown to readers. A text is never changed or removed:
rows name its version. A new one is added at the end, and the one before gets the date until when it still holds."""


def current_consent() -> ConsentText:
    """The text that readers are shown."""
    return CONSENT_TEXTS[-1]


def require_consent(is_given: bool, version: str | None, texts: Sequence[ConsentText] = CONSENT_TEXTS) -> ConsentText:
    """The text that an upload agreed to.

    Raises:
        ConsentMissing: there is no consent, or it names no version.
        ConsentOutdated: no text has this version, or it has expired.
    """
    newest = texts[-1].version
    if not is_given or not version:
        raise ConsentMissing(
            f"Nothing was stored. Send `consent=true` and `consent_version={newest}` to agree to the text that "
            "`/v1/consent` shows."
        )
    for text in texts:
        if text.version == version and text.is_valid(datetime.now(UTC)):
            return text
    raise ConsentOutdated(
        f"Nothing was stored. There is no valid consent text {version!r} now; read the one of `/v1/consent`, whose "
        f"version is {newest!r}, and agree to that."
    )
