"""Sending the waiting images, one after the other, with a service that may be slow, full or away."""

import time
from collections.abc import Callable

from brain_core.client import BrainClient
from brain_core.errors import ServiceUnavailable, TooManyRequests
from dashboard.outcomes import Outcome, ask
from dashboard.uploads import Upload, Uploads
from dashboard.wording import problem_slug

PATIENCE = 5
"""So often the page waits for a service that says when it has room again, before it asks the reader what to do."""
LONGEST_WAIT_S = 15.0
_SOON_OVER = frozenset({"rate-limited", "overloaded"})

Progress = Callable[[int, int, str], None]
"""Is told how many of how many images are done, and the name of the one that is next."""


def work_off(client: BrainClient, uploads: Uploads, consent_version: str, progress: Progress) -> None:
    """Send every waiting image.

    What is done stays done: the same call goes on where an error stopped it. An image is sent under one idempotency
    key as long as it has no answer, so that none is stored twice.

    Raises:
        ConsentRefused: the consent text has changed.
        ServiceUnreachable, ServiceUnavailable, TooManyRequests: the service is away, or has no room for long.
    """
    waiting = uploads.waiting()
    for done, content in enumerate(waiting):
        upload = uploads.items[content]
        progress(done, len(waiting), upload.name)
        uploads.settle(content, _asked_patiently(client, upload, consent_version))


def _asked_patiently(client: BrainClient, upload: Upload, consent_version: str) -> Outcome:
    for _ in range(PATIENCE):
        try:
            return ask(client, upload.data, consent_version, upload.key)
        except (TooManyRequests, ServiceUnavailable) as error:
            if problem_slug(error) not in _SOON_OVER or error.retry_after_s > LONGEST_WAIT_S:
                raise
            time.sleep(error.retry_after_s)
    return ask(client, upload.data, consent_version, upload.key)
