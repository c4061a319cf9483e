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

CONSENT_VERSION = "2026-11.2"
CONSENT_TEXT = (
    "I may share this image, and it shows nobody's name or other identifying marks. "
    "What is stored: the image without its file name and metadata, the prediction and my feedback; an image that is "
    "refused is stored too. "
    "Why: to judge and improve the model, which may be trained on it. "
    "For how long: until I erase it, or until those who run the platform do. "
    "How to erase it: at any time, with the button beside the answer or later with the answer's id and access token."
)
