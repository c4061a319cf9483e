"""What the pages say: names of the classes, and a sentence and a way on for every failure."""

import re

from brain_core.errors import ApiError, BrainError, DatabaseError, StorageError

CLASS_NAMES = {
    "glioma": "Glioma",
    "meningioma": "Meningioma",
    "notumor": "No tumour",
    "pituitary": "Pituitary tumour",
}

_QUESTION = re.compile(r" ?((?:What|Why|For how|How)[^:.]{0,20}):")

NOTHING = "\N{EN DASH}"
"""Stands where there is no number."""

MAP_EXPLAINED = (
    "The colours show **where in the image the model found evidence for its answer**: yellow is the strongest, dark "
    "purple weak, and where the grey image is untouched there was none. The line goes round what has at least half of "
    "the strongest evidence. It is the model's own class activation map, not the outline of a tumour: a right answer "
    "can rest on the wrong place, and that is worth telling us."
)
MAP_OF_NO_TUMOUR = (
    "For “No tumour” bright is where nothing spoke for a tumour, so most of the image is bright; the darker places are "
    "those where the model hesitated."
)

NOT_AN_MRI_HINT = (
    "Upload one slice of a brain MRI: grey, the whole head, without a frame, text or other pictures around it. "
    "A photograph, a CT, a screenshot or a whole sheet of slices cannot be read."
)

_SENTENCES = {
    "service-away": (
        "The prediction service does not answer. Nothing is wrong with your image: try again in a moment. "
        "If the service stays away, ask whoever runs the platform."
    ),
    "consent-missing": "Nothing was stored, since no consent came with it. Read the text above and agree to it.",
    "consent-outdated": (
        "The consent text has changed since you agreed, and nothing more was stored. Read the new text above; once you "
        "agree to it, your images are sent."
    ),
    "erased": "This image was erased: the image, the result and the feedback are gone.",
    "invalid-image": (
        "{detail} Open the file in an image viewer; if it looks damaged there too, export the slice again."
    ),
    "prediction-not-found": "{detail} Nothing of it can be seen, judged or erased here.",
    "image-too-large": "{detail} Save the image smaller, or crop it to the slice, and upload it again.",
    "unsupported-image-type": (
        "The file's content is neither JPEG nor PNG, whatever its name says. "
        "Export the slice as JPEG or PNG; renaming the file is not enough."
    ),
    "not-a-brain-mri": "{detail}",
    "rate-limited": "Too many images came at once. Wait a minute, then try again.",
    "overloaded": "The service is busy with many images. Wait a moment, then try again.",
    "request-too-slow": "The image took too long to arrive. Check your connection, then try again.",
    "key-missing": "These pages may not ask the prediction service: they need a key. Tell whoever runs the platform.",
    "key-refused": "The key is not good, or no longer. Use another one, or ask whoever runs the platform for one.",
    "scope-missing": "The key in use may not do this. Use another one, or ask whoever runs the platform.",
    "database-unavailable": "The database is away and nothing was stored. Wait a moment, then try again.",
    "storage-unavailable": "The image store is away and nothing was stored. Wait a moment, then try again.",
    "model-unavailable": (
        "There is no model yet: a platform that has just started needs some minutes for its first one. "
        "The side bar says when it is ready; then try again."
    ),
    "feedback-not-found": (
        "This feedback is not there any more: the owner has erased the image. There is nothing left to decide."
    ),
    "feedback-changed": (
        "The reader has changed this feedback meanwhile. What you see now is the new answer: look at it again."
    ),
    "page-unknown": "This part of the list is not there any more. Go back to its beginning.",
    "model-version-unknown": "This model is not there any more. Reload the page to see those that are.",
}
_SLUG_OF_STATUS = {0: "service-away", 413: "image-too-large", 415: "unsupported-image-type", 429: "rate-limited"}
_UNKNOWN = (
    "The prediction service could not do this (status {status}). Try again; if it happens twice, ask whoever runs the "
    "platform and tell them the time."
)


def sentence(error: BrainError) -> str:
    """What went wrong, for a person, and what to do about it."""
    if isinstance(error, ApiError):
        return _api_sentence(error)
    if isinstance(error, DatabaseError):
        return f"{error} Reload the page in a moment; everything else on it goes on."
    if isinstance(error, StorageError):
        return f"{error} Try again in a moment."
    return str(error)


def problem_slug(error: ApiError) -> str:
    """The kind of problem that the API answered with, such as `not-a-brain-mri`; empty when it names none."""
    return str(error.problem.get("type", "")).rpartition("/")[2]


def _api_sentence(error: ApiError) -> str:
    text = _SENTENCES.get(problem_slug(error)) or _SENTENCES.get(_SLUG_OF_STATUS.get(error.status, ""), _UNKNOWN)
    detail = str(error.problem.get("detail") or "The prediction service did not take this.")
    return text.replace("{detail}", detail).replace("{status}", str(error.status))


def uncertainty(confidence: float) -> str:
    """What an answer that is not sure means."""
    return (
        f"Uncertain. A confidence of {confidence:.0%} is below the model's own threshold: take this as "
        "“the model does not know”."
    )


def counted(waiting: int) -> str:
    """How many images wait."""
    return "1 image waits" if waiting == 1 else f"{waiting} images wait"


def as_paragraphs(consent_text: str) -> str:
    """Markdown of the consent text with a line for each of its questions, such as “How to erase it: …”."""
    return _QUESTION.sub(r"\n- **\1:**", consent_text)
