"""Every error that the platform raises on purpose.

* BrainError
  x SettingsError
  x InvalidImage
    + UnsupportedImageType
    + ImageTooLarge
    + UndecodableImage
  x NotABrainMri
  x ConsentMissing
    + ConsentOutdated
  x UnknownClass
  x PredictionNotFound
  x PredictionErased
  x IdempotencyKeyInvalid
  x IdempotencyKeyReused
  x FeedbackNotFound
  x FeedbackChanged
  x PageUnknown
  x ModelVersionUnknown
  x KeyRefused
    + KeyMissing
  x KeyNotFound
  x KeyTaken
  x ScopeMissing
  x ForeignSite
  x TryLater
    + RateLimited
    + Overloaded
  x RequestTooSlow
  x RequestTooLarge
  x BundleError
  x ModelUnavailable
  x StorageError
    + ObjectNotFound
  x DatabaseError
    + CommitUnknown
  x RegistryError
  x DeliveryError
  x SourceError
    + SourceMissing
    + SourceEmpty
    + SourceClassUnknown
    + SourceNameInvalid
    + AnnotationsUnreadable
  x DataVersionUnknown
  x TrainingError
  x StartupError
    + PortTaken
    + AlreadyRunning
    + ProcessDied
  x ApiError
    + ServiceUnreachable
    + ServiceUnavailable
    + ServiceFailed
    + RequestInvalid
      - ConsentRefused
      - ImageUnusable
      - ImageRefused
    + AccessRefused
    + NothingThere
      - AlreadyErased
    + StateConflict
    + TooManyRequests

Library exceptions are translated where the library is called, so that nothing else has to know it.
"""

from typing import Any


class BrainError(Exception):
    """Base of all; the message says what was wrong and what to do about it."""


class SettingsError(BrainError):
    """A setting is unknown or has a value that is not allowed."""


class InvalidImage(BrainError):
    """Bytes that cannot be used as an image."""


class UnsupportedImageType(InvalidImage):
    """The content is neither JPEG nor PNG, whatever its name says."""


class ImageTooLarge(InvalidImage):
    """More bytes or more pixels than the limits allow."""


class UndecodableImage(InvalidImage):
    """The content claims to be an image but is empty, truncated or damaged."""


class NotABrainMri(BrainError):
    """The upload gate refused the image."""


class ConsentMissing(BrainError):
    """Nothing may be stored without consent to the current text."""


class ConsentOutdated(ConsentMissing):
    """The consent is for a text that is unknown or has expired."""


class UnknownClass(BrainError):
    """A class name that is not one of `labels.CLASSES`, or a correction that lacks one."""


class PredictionNotFound(BrainError):
    """No such prediction, or the access token is not its own."""


class PredictionErased(BrainError):
    """The prediction was erased; only its id is left."""


class IdempotencyKeyInvalid(BrainError):
    """An `Idempotency-Key` that is too short, too long or has other characters than visible ASCII."""


class IdempotencyKeyReused(BrainError):
    """An `Idempotency-Key` came again with another image or another consent."""


class FeedbackNotFound(BrainError):
    """There is no feedback on this prediction."""


class FeedbackChanged(BrainError):
    """The feedback has another revision than the one that was reviewed."""


class PageUnknown(BrainError):
    """A page of a list was asked for with a text that no earlier page gave."""


class ScopeMissing(BrainError):
    """The API key is good, but not for this.

    Attributes:
        scope: what it lacks.
    """

    def __init__(self, message: str, scope: str) -> None:
        super().__init__(message)
        self.scope = scope


class ModelVersionUnknown(BrainError):
    """The bucket holds no model of this version."""


class KeyRefused(BrainError):
    """The API key is unknown, revoked or expired."""


class KeyMissing(KeyRefused):
    """The request needs an API key, and there was none."""


class KeyNotFound(BrainError):
    """No API key has this name."""


class KeyTaken(BrainError):
    """An API key with this name or secret exists."""


class ForeignSite(BrainError):
    """A page of another site sent the request to a server that is for this machine only."""


class TryLater(BrainError):
    """Nothing is wrong with the request but its time.

    Attributes:
        retry_after_s: seconds until it may be sent again.
    """

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RateLimited(TryLater):
    """The API key was used more often than it may be."""


class Overloaded(TryLater):
    """More uploads wait than the server can answer soon."""


class RequestTooSlow(BrainError):
    """The body did not arrive in time."""


class RequestTooLarge(BrainError):
    """The body has more bytes than any request of its kind needs."""


class BundleError(BrainError):
    """An inference bundle is incomplete, altered or made for another version."""


class ModelUnavailable(BrainError):
    """No champion has been published yet."""


class StorageError(BrainError):
    """The bucket could not be read or written."""


class ObjectNotFound(StorageError):
    """The bucket is there, the object is not."""


class DatabaseError(BrainError):
    """PostgreSQL could not be reached or refused the statement."""


class CommitUnknown(DatabaseError):
    """The connection broke during a commit: what was written is there whole, or not at all."""


class RegistryError(BrainError):
    """MLflow could not be reached or refused the call."""


class DeliveryError(BrainError):
    """Elasticsearch or the mail server could not take what was sent."""


class SourceError(BrainError):
    """The image source cannot be used."""


class SourceMissing(SourceError):
    """The source is not there or may not be read."""


class SourceEmpty(SourceError):
    """The source is there and holds no image."""


class SourceClassUnknown(SourceError):
    """The source holds a class folder that is not one of `labels.CLASSES`."""


class SourceNameInvalid(SourceError):
    """A file in the source has a name that is not UTF-8."""


class AnnotationsUnreadable(SourceError):
    """The annotations beside the images are no table, or name no images."""


class DataVersionUnknown(BrainError):
    """No data version, or more than one, has this name."""


class TrainingError(BrainError):
    """Training cannot start or went wrong (a class without images, a loss that is not finite)."""


class StartupError(BrainError):
    """The platform cannot be started."""


class PortTaken(StartupError):
    """A port that a setting names is in use."""


class AlreadyRunning(StartupError):
    """Another platform runs on the same `BRAIN_HOME`."""


class ProcessDied(StartupError):
    """A part of the platform ended by itself."""


class ApiError(BrainError):
    """The prediction API answered with a problem document, or not at all.

    Attributes:
        status: HTTP status; 0 when the service could not be reached.
        problem: the RFC 9457 document, empty when there was none.
    """

    def __init__(self, message: str, status: int = 0, problem: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.problem = problem or {}


class ServiceUnreachable(ApiError):
    """The service could not be reached, or did not answer in time; status 0."""


class ServiceUnavailable(ApiError):
    """The service, or a part that it needs, is away for now (503).

    Attributes:
        retry_after_s: when to try again, in seconds.
    """

    retry_after_s: float = 0.0


class ServiceFailed(ApiError):
    """The service failed, or what answered is another service."""


class RequestInvalid(ApiError):
    """The request was refused for what is in it; the same request is refused again."""


class ConsentRefused(RequestInvalid):
    """Consent was missing, or was given to a text that is unknown or has expired."""


class ImageUnusable(RequestInvalid):
    """The file is no JPEG or PNG, is damaged, or is too large; nothing was stored."""


class ImageRefused(RequestInvalid):
    """The image is not a brain MRI slice; it was stored, `problem` has its `id` and `access_token`."""


class AccessRefused(ApiError):
    """The API key is missing, unknown or lacks the scope (401, 403)."""


class NothingThere(ApiError):
    """There is nothing with this id, or the access token is not its own (404)."""


class AlreadyErased(NothingThere):
    """It was there and was erased (410)."""


class StateConflict(ApiError):
    """Somebody else changed it meanwhile, or the key was used for another upload (409)."""


class TooManyRequests(ApiError):
    """More requests than this caller may send (429).

    Attributes:
        retry_after_s: when to try again, in seconds.
    """

    retry_after_s: float = 0.0
