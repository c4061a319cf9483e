"""What becomes of corrections: trained on, held out to judge, or left out with the reason."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import numpy as np
import pandas as pd
import pytest

from brain_assets.ml import feedback as screening
from brain_assets.ml.feedback import (
    HELD_OUT,
    MISSING,
    OUTVOTED,
    READERS_DISAGREE,
    REPEATED,
    SOURCE_DISAGREES,
    TEST_COPY,
    TRAINING_COPY,
    UNKNOWN_CLASS,
    VALIDATION_COPY,
    FeedbackPolicy,
    conflicts,
    corrected_statistics,
    correction_table,
    corrections_of,
    held_out_rows,
    screen,
)
from brain_assets.ml.statistics import image_statistics
from brain_core.corrections import Agreement, Correction
from brain_core.imaging import encode_jpeg

ALL_TRAINED = FeedbackPolicy(held_out_share=0)
SOURCE_PARTS = ["test", "validation", "train"]


def picture(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.kron(rng.integers(0, 255, (8, 8), dtype=np.uint8), np.ones((16, 16), np.uint8))


def correction(name: str, label: str = "glioma", reviewer: str | None = None) -> Correction:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Correction(uuid4(), 1, f"up/{name}.jpg", name, label, at, None, reviewer)


@pytest.fixture
def source(bucket) -> pd.DataFrame:
    """A test, a validation and a training image of the source: pictures 0, 1 and 2, gliomas."""
    keys = [f"data/{part}.jpg" for part in SOURCE_PARTS]
    for seed, key in enumerate(keys):
        bucket.write(key, encode_jpeg(picture(seed)))
    table = pd.DataFrame({"key": keys, "label": "glioma", "decodes": True})
    return image_statistics(bucket, table).assign(part=SOURCE_PARTS)


@pytest.fixture
def screened(bucket, source):
    """Screens corrections; an upload `a-3` shows picture 3."""

    def run(*made: Correction, policy=ALL_TRAINED, agreements=()) -> pd.DataFrame:
        for one in made:
            name = one.image_key.removeprefix("up/").removesuffix(".jpg")
            if not bucket.exists(one.image_key) and not name.startswith("absent"):
                bucket.write(one.image_key, encode_jpeg(picture(int(name.rpartition("-")[2]))))
        table = correction_table(made)
        return screen(table, corrected_statistics(table, bucket), source, agreements, policy)

    return run


def reasons(found: pd.DataFrame) -> list[str | None]:
    assert (found["is_used"] == (found["part"] == "train")).all()
    assert (found["part"].isna() == (found["reason"].notna() & found["reason"].ne(HELD_OUT))).all()
    return found["reason"].tolist()


def test_a_new_image_is_used(screened):
    found = screened(correction("a-7"))
    assert reasons(found) == [None]
    assert len(found["perceptual_hash"].iloc[0]) == 16


@pytest.mark.parametrize("transform", [np.array, np.fliplr, np.rot90])
@pytest.mark.parametrize(("seed", "reason"), [(0, TEST_COPY), (1, VALIDATION_COPY)])
def test_what_would_leak_is_left_out_also_mirrored_or_rotated(screened, bucket, transform, seed, reason):
    bucket.write("up/a.jpg", encode_jpeg(np.ascontiguousarray(transform(picture(seed))), quality=70))
    assert reasons(screened(correction("a"))) == [reason]


def test_a_copy_of_a_training_image_adds_nothing_and_never_overrules_its_class(screened):
    found = screened(correction("same-2"))
    assert reasons(found) == [TRAINING_COPY]
    against = screened(correction("other-2", label="pituitary"))
    assert reasons(against) == [SOURCE_DISAGREES]
    assert len(conflicts(against)) == 1


def test_of_a_repeated_image_the_newest_correction_is_the_one_row(screened):
    assert reasons(screened(*(correction(f"{name}-7") for name in "abc"))) == [REPEATED, REPEATED, None]


@pytest.mark.parametrize(
    ("disagreement", "expected"),
    [("majority", [None, OUTVOTED, REPEATED]), ("newest", [OUTVOTED, None, OUTVOTED]), ("leave_out", None)],
)
def test_a_class_that_readers_disagree_about_follows_the_policy(screened, disagreement, expected):
    made = [correction("a-7"), correction("b-7", label="pituitary"), correction("c-7")]
    found = screened(made[0], made[2], made[1], policy=replace(ALL_TRAINED, disagreement=disagreement))
    order = [1, 2, 0] if disagreement == "majority" else [0, 2, 1]
    told = [reasons(found)[place] for place in order]
    assert told == (expected or [READERS_DISAGREE] * 3)
    assert found["votes"].tolist() == [2, 2, 1]
    assert found["votes_against"].tolist() == [1, 1, 2]
    assert len(conflicts(found)) == 3


def test_a_tie_leaves_the_image_out(screened):
    found = screened(correction("a-7"), correction("b-7", label="pituitary"))
    assert reasons(found) == [READERS_DISAGREE] * 2


def test_readers_who_agreed_with_the_prediction_have_a_vote(screened, bucket):
    made = correction("a-7", label="pituitary")
    image = screened(made)["pixel_sha256"].iloc[0]
    outvoted = screened(made, agreements=[Agreement(image, "glioma", 2), Agreement("another image", "glioma", 9)])
    assert reasons(outvoted) == [OUTVOTED]
    assert (outvoted["votes"].iloc[0], outvoted["votes_against"].iloc[0]) == (1, 2)


def test_what_somebody_reviewed_is_not_outvoted_by_what_nobody_did(screened):
    made = [correction("a-7"), correction("b-7"), correction("c-7", label="pituitary", reviewer="somebody")]
    assert reasons(screened(*made)) == [OUTVOTED, OUTVOTED, None]


def test_a_missing_and_a_damaged_image_are_left_out(screened, bucket):
    bucket.write("up/damaged.jpg", b"not an image")
    assert reasons(screened(correction("absent"), correction("damaged"))) == [MISSING] * 2


def test_a_class_that_nobody_knows_is_left_out(screened):
    assert reasons(screened(correction("a-7", label="astrocytoma"))) == [UNKNOWN_CLASS]


def test_no_corrections_give_an_empty_table_with_its_columns(screened):
    found = screened()
    assert len(found) == 0
    assert {"key", "label", "is_used", "part", "reason", "pixel_sha256", "perceptual_hash"} <= set(found.columns)
    assert len(held_out_rows(found)) == len(conflicts(found)) == 0


def test_the_held_out_images_stay_the_same_when_more_come(screened):
    policy = FeedbackPolicy(held_out_share=0.3)
    made = [correction(f"a-{seed}") for seed in range(10, 40)]
    few, many = screened(*made[:20], policy=policy), screened(*made, policy=policy)
    judges = [set(found.loc[found["reason"] == HELD_OUT, "key"]) for found in (few, many)]
    assert judges[0] < judges[1]
    assert judges[1] & set(few["key"]) == judges[0]
    assert 3 < len(judges[1]) < 16


def test_a_mirrored_copy_of_a_held_out_image_is_not_trained_on(screened, bucket, monkeypatch):
    bucket.write("up/mirrored.jpg", encode_jpeg(np.ascontiguousarray(np.fliplr(picture(7)))))
    made = correction("a-7"), correction("mirrored")
    pixels = screened(*made)["pixel_sha256"].tolist()
    monkeypatch.setattr(screening, "_draw", lambda found: 0.0 if found == pixels[0] else 1.0)
    found = screened(*made, policy=FeedbackPolicy(held_out_share=0.3))
    assert set(found["part"]) <= {"test", None}
    assert (found["part"] == "test").sum() == 1


def test_what_a_model_has_seen_does_not_judge_it(screened, monkeypatch):
    found = screened(correction("a-7"), correction("b-8"), policy=FeedbackPolicy(held_out_share=0.999999))
    assert len(held_out_rows(found)) == 2
    assert held_out_rows(found, {found["pixel_sha256"].iloc[0]})["key"].tolist() == ["up/b-8.jpg"]


def test_the_pixels_of_the_upload_count_where_the_stored_image_was_encoded_anew(screened):
    found = screened(replace(correction("a-7"), pixel_sha256="of the upload"))
    assert found["pixel_sha256"].tolist() == ["of the upload"]


def test_the_table_gives_its_corrections_back():
    made = [correction("a"), correction("b", label="notumor", reviewer="somebody")]
    assert corrections_of(correction_table(made)) == made
    assert isinstance(corrections_of(correction_table(made))[0].prediction_id, UUID)
