"""The reader's images: what was uploaded in this browser session, and what became of each."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from dashboard.outcomes import Answer, Failure, Outcome, Refusal, content_hash

MAX_IMAGES = 200
"""Most images of one session at a time."""


@dataclass(frozen=True)
class Upload:
    """One image of the reader.

    Attributes:
        name: of the file, as the reader knows it; it is never sent anywhere.
        data: its bytes, until there is an answer; empty then.
        key: idempotency key under which it is sent, so that no try stores it a second time.
    """

    name: str
    data: bytes
    key: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass
class Uploads:
    """The images of one browser session, by the hash of their content: the same image is sent once.

    Attributes:
        items: the images, in the order in which they came.
        outcomes: what became of those that were sent.
        fetched: those whose pictures were asked for.
    """

    items: dict[str, Upload] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    fetched: set[str] = field(default_factory=set)

    def add(self, files: Iterable[Upload]) -> int:
        """Take images; gives how many did not fit in."""
        left_out = 0
        for file in files:
            content = content_hash(file.data)
            if content in self.items:
                continue
            if len(self.items) >= MAX_IMAGES:
                left_out += 1
                continue
            self.items[content] = file
        return left_out

    def waiting(self) -> list[str]:
        """Those that were not sent yet."""
        return [content for content in self.items if content not in self.outcomes]

    def settled(self) -> list[str]:
        """Those of which it is known what became of them, in the order in which they came."""
        return [content for content in self.items if content in self.outcomes]

    def settle(self, content: str, outcome: Outcome) -> None:
        """Note what became of an image; its bytes are let go where they are not needed again."""
        self.outcomes[content] = outcome
        if not isinstance(outcome, Failure) and content in self.items:
            self.items[content] = replace(self.items[content], data=b"")

    def forget(self, content: str) -> None:
        """Drop an image and what became of it."""
        self.items.pop(content, None)
        self.outcomes.pop(content, None)
        self.fetched.discard(content)

    def retry(self, content: str) -> None:
        """Send an image again that failed."""
        self.outcomes.pop(content, None)

    def clear(self) -> None:
        """Drop all images."""
        self.items.clear()
        self.outcomes.clear()
        self.fetched.clear()

    def count(self) -> dict[str, int]:
        """How many were answered, refused, unreadable and not sent yet, in this order."""
        kinds = [type(self.outcomes.get(content)) for content in self.items]
        return {
            "Answered": kinds.count(Answer),
            "Not a brain MRI": kinds.count(Refusal),
            "Not readable": kinds.count(Failure),
            "Waiting": kinds.count(type(None)),
        }
