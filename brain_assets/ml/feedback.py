"""From readers' corrections to images that may be trained on, and to images that judge.

See docs/decisions/0012-feedback-loop.md for the rules.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import pandas as pd

from brain_assets.ml.duplicates import duplicate_groups
from brain_assets.ml.fingerprints import perceptual_hashes
from brain_assets.ml.statistics import image_statistics, stacked_thumbnails
from brain_core.corrections import Agreement, Correction
from brain_core.errors import InvalidImage, ObjectNotFound
from brain_core.imaging import decode
from brain_core.labels import CLASSES
from brain_core.storage import Bucket

COLUMNS = ("prediction_id", "revision", "key", "image_sha256", "label", "created_at", "pixel_sha256", "reviewer")
FEEDBACK_KEYS = "InferenceLogs/"
"""How the keys of uploads begin, and those of no image of the source."""

UNKNOWN_CLASS = "unknown class"
MISSING = "the image is missing or does not decode"
TEST_COPY = "copy or near slice of a test image"
VALIDATION_COPY = "copy or near slice of a validation image"
READERS_DISAGREE = "readers disagree"
OUTVOTED = "most readers chose another class"
SOURCE_DISAGREES = "copy of a training image with another class"
TRAINING_COPY = "copy of a training image: nothing new"
REPEATED = "the same image was corrected again later"
HELD_OUT = "held out: it judges models"
CONFLICTS = (READERS_DISAGREE, OUTVOTED, SOURCE_DISAGREES)

Resolution = Literal["majority", "newest", "leave_out"]


@dataclass(frozen=True)
class FeedbackPolicy:
    """What becomes of corrections.

    Attributes:
        disagreement: which class holds when copies of one image got several: that of most readers (a tie leaves the
            image out), that of the newest correction, or none.
        held_out_share: of the images; they judge models and are never trained on.
    """

    disagreement: Resolution = "majority"
    held_out_share: float = 0.2


def correction_table(corrections: Sequence[Correction]) -> pd.DataFrame:
    """One row a correction, with the image's key in the inference bucket as `key`."""
    rows = [
        (
            str(c.prediction_id),
            c.revision,
            c.image_key,
            c.image_sha256,
            c.label,
            c.created_at.isoformat(),
            c.pixel_sha256,
            c.reviewer,
        )
        for c in corrections
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def corrections_of(table: pd.DataFrame) -> list[Correction]:
    """What `correction_table` was made from; the hash of the pixels may have been added since."""
    return [
        Correction(
            UUID(row["prediction_id"]),
            int(row["revision"]),
            row["key"],
            row["image_sha256"],
            row["label"],
            pd.Timestamp(row["created_at"]).to_pydatetime(),
            row["pixel_sha256"],
            row["reviewer"],
        )
        for row in table.astype(object).where(table.notna(), None).to_dict("records")
    ]


def corrected_statistics(table: pd.DataFrame, inference: Bucket) -> pd.DataFrame:
    """Statistics of the corrected images that are there and decode, as `statistics.image_statistics` makes them.

    `pixel_sha256` is that of the upload where it is known: what is stored may be encoded anew.
    """
    decodes = [_decodes(inference, key) for key in table["key"]]
    statistics = image_statistics(inference, table.assign(decodes=decodes))
    uploaded = statistics["key"].map(table.set_index("key")["pixel_sha256"])
    return statistics.assign(pixel_sha256=uploaded.where(uploaded.notna(), statistics["pixel_sha256"]))


def screen(
    table: pd.DataFrame,
    statistics: pd.DataFrame,
    source: pd.DataFrame,
    agreements: Iterable[Agreement] = (),
    policy: FeedbackPolicy | None = None,
) -> pd.DataFrame:
    """Say of each correction whether its image is trained on, judges, or is left out, and why.

    Args:
        table: as `correction_table` makes it.
        statistics: statistics of the corrected images that decode, by `key`.
        source: statistics of the source's images with their `label` and `part` of the split.
        agreements: who said of a corrected image that another prediction was right.
        policy: what becomes of the images.

    Returns:
        The table with `pixel_sha256` and `perceptual_hash` (16 bytes); `group` of copies and `related_group` of copies
        and near slices among the corrected images (-1 where the image is missing); `votes` and `votes_against`, how
        many readers chose the label and another one for this image; `part` (`train`, `test` or None); `is_used`
        (bool), whether it may be trained on; `reason`, why not. Of each image that is used or held out there is one
        row.
    """
    policy = policy or FeedbackPolicy()
    hashes = [row.tobytes() for row in perceptual_hashes(stacked_thumbnails(statistics))]
    pictures = statistics[["key", "pixel_sha256"]].assign(perceptual_hash=hashes)
    images = table.drop(columns="pixel_sha256").merge(pictures, on="key", how="left")
    images = images.merge(_relations(statistics, source), on="key", how="left")
    images[["group", "related_group"]] = images[["group", "related_group"]].fillna(-1).astype(int)
    images = _with_votes(images, agreements, policy.disagreement)
    reasons = _reasons(images)
    is_free = reasons.isna()
    is_held_out = is_free & _held_out(images, policy.held_out_share)
    images["is_used"] = is_free & ~is_held_out
    images["part"] = _texts(reasons.where(~is_free, "train").where(is_free, None).mask(is_held_out, "test"))
    images["reason"] = _texts(reasons.mask(is_held_out, HELD_OUT))
    return images.drop(columns=["parts", "source_label", "chosen"])


def held_out_rows(feedback: pd.DataFrame, seen: Iterable[str] = ()) -> pd.DataFrame:
    """The rows that judge, of which no copy or near slice is among the pixels that a model has `seen`."""
    if "related_group" not in feedback:
        # What an earlier version kept, or nothing at all.
        return feedback.iloc[:0]
    known = feedback.loc[feedback["pixel_sha256"].isin(set(seen)), "related_group"]
    return feedback[(feedback["reason"] == HELD_OUT) & ~feedback["related_group"].isin(known)]


def conflicts(feedback: pd.DataFrame) -> pd.DataFrame:
    """The corrections that other labels of the same image speak against, and what was made of them."""
    # What an earlier version kept has fewer columns.
    told = feedback.reindex(columns=["prediction_id", "label", "votes", "votes_against", "reason"])
    return told[(told["votes_against"] > 0) | told["reason"].isin(CONFLICTS)]


def _texts(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """The texts, and None where there is none: Parquet knows no NaN among texts."""
    return pd.Series([one if isinstance(one, str) else None for one in column], index=column.index, dtype=object)


def _decodes(bucket: Bucket, key: str) -> bool:
    try:
        decode(bucket.read(key))
    except (ObjectNotFound, InvalidImage):
        return False
    return True


def _relations(statistics: pd.DataFrame, source: pd.DataFrame) -> pd.DataFrame:
    """How each corrected image hangs together with the others and with the source.

    By `key`: `group`, `related_group`, `parts` of the source that the latter reaches into, and `source_label`, the
    label of the training image that it is a copy of.
    """
    columns = ["key", "pixel_sha256", "thumbnail", "detail"]
    together = pd.concat([table[columns] for table in (statistics, source) if len(table)] or [statistics[columns]])
    groups = duplicate_groups(together.reset_index(drop=True)).merge(source[["key", "label", "part"]], "left", on="key")
    parts = groups.dropna(subset="part").groupby("related_group")["part"].agg(frozenset)
    trained = groups[groups["part"] == "train"]
    labels = trained.groupby("group")["label"].agg(lambda found: found.mode().iloc[0])
    own = groups.loc[groups["key"].isin(statistics["key"]), ["key", "group", "related_group"]]
    return own.assign(parts=own["related_group"].map(parts), source_label=own["group"].map(labels))


def _with_votes(images: pd.DataFrame, agreements: Iterable[Agreement], disagreement: Resolution) -> pd.DataFrame:
    """With `votes`, `votes_against` and `chosen`, the label that holds for the image (None: none does)."""
    counted = _counted(images)
    found: dict[Any, Counter[str]] = defaultdict(Counter)
    for group, label in zip(counted["group"], counted["label"], strict=True):
        found[group][label] += 1
    reviewed = set(counted.loc[counted["reviewer"].notna(), "group"])
    for group, readers in _agreed_by_group(images, agreements).items():
        found[group].update({} if group in reviewed else readers)
    newest = dict(zip(counted["group"], counted["label"], strict=True))
    chosen = {group: _chosen(found[group], label, disagreement) for group, label in newest.items()}
    own = [found[group][label] for group, label in zip(images["group"], images["label"], strict=True)]
    against = [found[group].total() - votes for group, votes in zip(images["group"], own, strict=True)]
    holds = pd.Series([chosen.get(group) for group in images["group"]], index=images.index, dtype=object)
    return images.assign(votes=own, votes_against=against, chosen=holds)


def _counted(images: pd.DataFrame) -> pd.DataFrame:
    """The corrections that vote."""
    known = images[images["group"] >= 0]
    # Whoever reviewed a correction looked at it twice; those nobody looked at do not outvote it.
    is_reviewed = known["reviewer"].notna()
    return known[is_reviewed | ~known["group"].isin(known.loc[is_reviewed, "group"])]


def _agreed_by_group(images: pd.DataFrame, agreements: Iterable[Agreement]) -> dict[Any, Counter[str]]:
    known = images[images["group"] >= 0]
    groups = dict(zip(known["pixel_sha256"], known["group"], strict=True))
    readers: dict[Any, Counter[str]] = defaultdict(Counter)
    for agreement in agreements:
        if agreement.image in groups:
            readers[groups[agreement.image]][agreement.label] += agreement.readers
    return readers


def _chosen(votes: Counter[str], newest: str, disagreement: Resolution) -> str | None:
    if len(votes) == 1 or disagreement == "newest":
        return newest
    most = [label for label, count in votes.items() if count == max(votes.values())]
    return most[0] if disagreement == "majority" and len(most) == 1 else None


def _reasons(images: pd.DataFrame) -> "pd.Series[str]":
    """Why each row is left out; what comes first here outweighs what comes later."""
    candidates = [
        (UNKNOWN_CLASS, ~images["label"].isin(CLASSES)),
        (MISSING, images["group"] < 0),
        (TEST_COPY, _reaches(images, "test")),
        (VALIDATION_COPY, _reaches(images, "validation")),
        (READERS_DISAGREE, images["chosen"].isna()),
        (OUTVOTED, images["chosen"].ne(images["label"])),
        (SOURCE_DISAGREES, images["source_label"].notna() & images["source_label"].ne(images["label"])),
        (TRAINING_COPY, images["source_label"].notna()),
    ]
    reasons = pd.Series(None, index=images.index, dtype=object)
    for reason, applies in candidates:
        reasons = reasons.mask(reasons.isna() & applies.astype(bool), reason)
    free = images[reasons.isna()]
    return reasons.mask(reasons.isna() & images.index.isin(free.index[free.duplicated("group", keep="last")]), REPEATED)


def _reaches(images: pd.DataFrame, part: str) -> "pd.Series[bool]":
    """Whether each image hangs together with one of this part of the source."""
    return images["parts"].map(lambda parts: isinstance(parts, frozenset) and part in parts).astype(bool)


def _held_out(images: pd.DataFrame, share: float) -> "pd.Series[bool]":
    """Whether an image judges: by the hash of its pixels, for whole groups of copies and near slices.

    Further images never change that for those that judge already. A group that hangs together with trained images of
    the source does not judge.
    """
    is_drawn = images["pixel_sha256"].map(lambda one: _draw(one) < share).astype(bool)
    drawn = set(images.loc[is_drawn & (images["group"] >= 0), "related_group"])
    return images["related_group"].isin(drawn - set(images.loc[_reaches(images, "train"), "related_group"]))


def _draw(pixel_sha256: object) -> float:
    digest = hashlib.sha256(f"held out {pixel_sha256}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64
