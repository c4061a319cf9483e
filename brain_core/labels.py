"""The classes, their order, and the notice that stands beside every result."""

from enum import StrEnum


class TumourClass(StrEnum):
    """What a slice shows; the order of the members is the order of every probability vector."""

    GLIOMA = "glioma"
    MENINGIOMA = "meningioma"
    NOTUMOR = "notumor"
    PITUITARY = "pituitary"


CLASSES: tuple[str, ...] = tuple(member.value for member in TumourClass)

NOTICE = "For research and education only. Not a medical device; never use it for diagnosis."

CONSENT_VERSION = "2026-11"
CONSENT_TEXT = (
    "I may share this image: it shows nobody's name or other identifying marks. "
    "It is stored together with the prediction and my feedback to judge and improve the model. "
    "I can erase it at any time with the access token of the answer."
)
