"""What can go wrong, as problem documents name it: the one table, and `docs/problems.md` says the same."""

from dataclasses import dataclass

from fastapi.exceptions import RequestValidationError

from brain_core.errors import (
    ConsentMissing,
    ConsentOutdated,
    DatabaseError,
    FeedbackChanged,
    FeedbackNotFound,
    ForeignSite,
    IdempotencyKeyInvalid,
    IdempotencyKeyReused,
    ImageTooLarge,
    InvalidImage,
    KeyMissing,
    KeyRefused,
    ModelUnavailable,
    ModelVersionUnknown,
    NotABrainMri,
    Overloaded,
    PageUnknown,
    PredictionErased,
    PredictionNotFound,
    RateLimited,
    RequestTooLarge,
    RequestTooSlow,
    ScopeMissing,
    StorageError,
    UnknownClass,
    UnsupportedImageType,
)


@dataclass(frozen=True)
class ProblemType:
    """One kind of problem: its name in the URI, HTTP status, title, what it means and what to do about it."""

    slug: str
    status: int
    title: str
    meaning: str
    action: str

    @property
    def uri(self) -> str:
        """Relative URI, answered by the API itself."""
        return f"/problems/{self.slug}"


PROBLEM_TYPES: dict[type[Exception], ProblemType] = {
    ConsentMissing: ProblemType(
        "consent-missing",
        400,
        "Consent is missing",
        "The upload did not carry consent, or did not name the text that was agreed to, so nothing was stored.",
        "Send the form fields `consent=true` and `consent_version` with the version that `/v1/consent` gives.",
    ),
    ConsentOutdated: ProblemType(
        "consent-outdated",
        400,
        "The consent text is another one now",
        "The version of the consent text that the upload named is unknown or has expired, so nothing was stored.",
        "Read the text that `/v1/consent` gives, agree to it, and send its version as `consent_version`.",
    ),
    IdempotencyKeyInvalid: ProblemType(
        "idempotency-key-invalid",
        400,
        "Not a usable Idempotency-Key",
        "An Idempotency-Key has 16 to 255 visible ASCII characters.",
        "Send a new UUID for each upload, and the same one when you send that upload again.",
    ),
    InvalidImage: ProblemType(
        "invalid-image",
        400,
        "The image cannot be decoded",
        "The file is empty, truncated or damaged, although it begins like an image.",
        "Export the slice again as JPEG or PNG and send that file.",
    ),
    PageUnknown: ProblemType(
        "page-unknown",
        400,
        "There is no such page",
        "The text in `page` was not given by an earlier answer.",
        "Send `next_page` of the answer before, as it was, or nothing to begin again.",
    ),
    KeyMissing: ProblemType(
        "key-missing",
        401,
        "An API key is needed",
        "The request needs an API key; on some servers every request does.",
        "Send the key in the header `X-API-Key`; the operator makes one with `brain keys create`.",
    ),
    KeyRefused: ProblemType(
        "key-refused",
        401,
        "The API key is not good",
        "The key in `X-API-Key` is unknown, revoked or expired.",
        "Check that it was copied whole, or ask the operator for a new one.",
    ),
    ForeignSite: ProblemType(
        "foreign-site",
        403,
        "The request comes from another site",
        "A server without API keys is for this machine only: it has no other name, and takes nothing from other sites.",
        "Call it as `127.0.0.1` or `localhost`; else use API keys, and for pages `BRAIN_SERVING__CORS_ORIGINS`.",
    ),
    ScopeMissing: ProblemType(
        "scope-missing",
        403,
        "The API key is not for this",
        "The key is good, but lacks the scope that this request needs; `scope` in the answer names it.",
        "Use a key that has this scope, or ask the operator for one.",
    ),
    FeedbackNotFound: ProblemType(
        "feedback-not-found",
        404,
        "There is no such feedback",
        "Nobody gave feedback on this prediction, or it was erased.",
        "Take the ids from `/v1/feedback`.",
    ),
    ModelVersionUnknown: ProblemType(
        "model-version-unknown",
        404,
        "There is no such model",
        "The bucket holds no model of this version.",
        "Choose one of those that `/v1/models` lists.",
    ),
    PredictionNotFound: ProblemType(
        "prediction-not-found",
        404,
        "There is no such prediction",
        "No prediction has this id, or the access token is not its own.",
        "Send the `access_token` of the answer to the upload as `Authorization: Bearer …`.",
    ),
    RequestTooSlow: ProblemType(
        "request-too-slow",
        408,
        "The request did not arrive in time",
        "The body of the request was not complete in the time that this server waits.",
        "Send it again over a better connection, or send a smaller image.",
    ),
    FeedbackChanged: ProblemType(
        "feedback-changed",
        409,
        "The feedback was changed meanwhile",
        "The reader gave another answer after the one that was reviewed.",
        "Read the feedback again, and decide about its present revision.",
    ),
    PredictionErased: ProblemType(
        "erased",
        410,
        "The prediction was erased",
        "Image, result and feedback were erased for ever, and an upload that comes again with its key is not kept.",
        "Nothing is left to do. To have the image judged again, upload it without that Idempotency-Key.",
    ),
    ImageTooLarge: ProblemType(
        "image-too-large",
        413,
        "The image is too large",
        "The upload has more bytes or more pixels than this server accepts.",
        "Send a smaller image; the model itself needs a few hundred pixels a side at most.",
    ),
    RequestTooLarge: ProblemType(
        "request-too-large",
        413,
        "The request is too large",
        "The body has more bytes than any request of this kind needs.",
        "Send only what `/docs` describes.",
    ),
    UnsupportedImageType: ProblemType(
        "unsupported-image-type",
        415,
        "Neither JPEG nor PNG",
        "The file's content is neither JPEG nor PNG, whatever its name says.",
        "Convert the image to JPEG or PNG.",
    ),
    IdempotencyKeyReused: ProblemType(
        "idempotency-key-reused",
        422,
        "The Idempotency-Key belongs to another upload",
        "The same key came before with another image or another consent, so nothing was stored.",
        "Send a new key for each upload.",
    ),
    RequestValidationError: ProblemType(
        "invalid-request",
        422,
        "The request is not valid",
        "A field of the request is missing, unknown or has a value that is not allowed.",
        "Read `errors` in the answer; `/docs` describes every request.",
    ),
    NotABrainMri: ProblemType(
        "not-a-brain-mri",
        422,
        "Not a brain MRI slice",
        "The image does not look like a brain MRI slice, so the model was not asked.",
        "Send one slice, grey, without a frame around it. The refused image is kept; its access token erases it.",
    ),
    UnknownClass: ProblemType(
        "unknown-class",
        422,
        "Not a class that corrects the prediction",
        "The corrected class is not one of the known classes, or it is the class that was predicted.",
        "Send one of the classes that `/v1/model` lists, other than the predicted one.",
    ),
    RateLimited: ProblemType(
        "rate-limited",
        429,
        "Too many requests",
        "The API key was used more often than it may be.",
        "Wait the seconds that `Retry-After` names, and send fewer requests a minute.",
    ),
    Exception: ProblemType(
        "internal-error",
        500,
        "The server failed",
        "Something went wrong that is not the request's fault; the log has the details.",
        "Try again; if it stays, tell the operator the time of the request.",
    ),
    DatabaseError: ProblemType(
        "database-unavailable",
        503,
        "The database is away",
        "PostgreSQL cannot be reached, so the request was not carried out.",
        "Try again after the seconds that `Retry-After` names.",
    ),
    ModelUnavailable: ProblemType(
        "model-unavailable",
        503,
        "There is no model yet",
        "No model has been published, so nothing can be predicted.",
        "Let the pipeline finish its first build, then try again; the server picks the model up by itself.",
    ),
    Overloaded: ProblemType(
        "overloaded",
        503,
        "The server is busy",
        "More uploads wait than this server can answer soon, so this one was not accepted.",
        "Try again after the seconds that `Retry-After` names.",
    ),
    StorageError: ProblemType(
        "storage-unavailable",
        503,
        "The image store is away",
        "The bucket cannot be read or written, so the request was not carried out.",
        "Try again after the seconds that `Retry-After` names.",
    ),
}
"""Error type to problem type; an error that is not listed is answered as its nearest listed base."""

NOT_READY = ProblemType(
    "not-ready",
    503,
    "The server is not ready",
    "A part that the server needs is away; `missing` in the answer names it.",
    "Wait, or start the missing part.",
)

ALL_PROBLEM_TYPES = (*PROBLEM_TYPES.values(), NOT_READY)


def problem_type(error: type[Exception]) -> ProblemType:
    """The problem type of an error type or of its nearest base in the table."""
    return next(PROBLEM_TYPES[base] for base in error.__mro__ if base in PROBLEM_TYPES)
