"""Carrying out what people asked for on the page or through the API: this version is to be the champion."""

from brain_assets.ml.publishing import Stores, VersionRefused, publish_champion, published_version
from brain_core.errors import BrainError
from brain_core.promotion_requests import DONE, REFUSED, PromotionQueue, PromotionRequest


def carry_out_requests(stores: Stores) -> list[str]:
    """Publish each version that was asked for, in the order of the requests; an older version is a way back.

    The promotion policy is not asked: it is a person who decides. Safe to repeat: after a crash between publication and
    note, the version is the champion already and only the note follows.

    Returns:
        A sentence for each request that was carried out or refused.

    Raises:
        DatabaseError, RegistryError, StorageError: that store is away; what waits is noted where it can be, and carried
            out the next time.
    """
    queue = PromotionQueue(stores.engine)
    return [_carry_out(stores, queue, request) for request in queue.queued()]


def _carry_out(stores: Stores, queue: PromotionQueue, request: PromotionRequest) -> str:
    version = request.model_version
    try:
        before = published_version(stores.bucket)
        publish_champion(*stores, version, f"request of {request.requested_by}")
    except VersionRefused as exc:
        queue.finish(request.id, REFUSED, str(exc))
        return f"Version {version}, which {request.requested_by} asked for, was refused. {exc}"
    except BrainError as exc:
        queue.postpone(request.id, f"Tried again later: {exc}")
        raise
    told = f"Version {version} is the champion now{f' instead of {before}' if before else ''}."
    if before == version:
        told = f"Version {version} was the champion already."
    queue.finish(request.id, DONE, told)
    return f"{told} {request.requested_by} asked for it."
