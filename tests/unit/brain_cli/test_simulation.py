"""The simulated reader, on a service that is played by a few lines."""

import random
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from brain_cli.simulation import LabelledImage, Simulated, give_feedback
from brain_core.contracts import CreatedPrediction, Explanation, Feedback, Validation
from brain_core.errors import ApiError
from brain_core.labels import CLASSES, TumourClass

RIGHT, MISTAKEN = "notumor", "glioma"
"""The model says `notumor` to everything."""


class Api:
    """Predicts `notumor`, and remembers what it was told; an image `b"no image"` is refused."""

    def __init__(self, status: int = 422) -> None:
        self.verdicts: list[str | None] = []
        self.status = status

    def predict(self, image: bytes, consent: bool) -> CreatedPrediction:
        assert consent
        if image == b"no image":
            raise ApiError("refused", self.status)
        return CreatedPrediction(
            id=uuid4(),
            created_at=datetime.now(UTC),
            predicted_class=TumourClass.NOTUMOR,
            probabilities={TumourClass.NOTUMOR: 1.0},
            confidence=1.0,
            is_uncertain=False,
            validation=Validation(is_valid=True, histogram_correlation=1, gate_score=1),
            explanation=Explanation(image_url="", peak=(0, 0), contours=[]),
            timings_ms={},
            model_version="1",
            access_token="token",
        )

    def feedback(self, prediction_id, access_token, corrected_class=None) -> Feedback:
        self.verdicts.append(corrected_class)
        agrees = corrected_class is None
        return Feedback(
            prediction_id=prediction_id,
            revision=1,
            agrees=agrees,
            corrected_class=corrected_class,
            review_state="accepted",
        )


def images(*labels: str) -> list[LabelledImage]:
    return [LabelledImage(f"{i}", label, lambda: b"image") for i, label in enumerate(labels)]


def run(found: list[LabelledImage], count: int, wrong: int = 0, api: Api | None = None, seed: int = 0):
    api = api or Api()
    return give_feedback(api, found, Simulated(count, wrong), random.Random(seed)), api.verdicts


def test_an_honest_reader_corrects_mistakes_and_confirms_the_rest():
    simulated, verdicts = run(images(RIGHT, MISTAKEN, RIGHT, MISTAKEN, MISTAKEN), count=2)
    assert verdicts == [None, MISTAKEN, None, MISTAKEN]
    assert (simulated.right, simulated.wrong, simulated.agreed, simulated.is_done) == (2, 0, 2, True)
    assert simulated.by_class == {MISTAKEN: 2}


def test_false_corrections_name_neither_the_true_nor_the_predicted_class():
    simulated, verdicts = run(images(*[RIGHT, MISTAKEN] * 20), count=20, wrong=6)
    assert (simulated.right, simulated.wrong) == (14, 6)
    assert {RIGHT, None} & set(verdicts[:1]) == set()
    assert set(verdicts) <= {*CLASSES} - {RIGHT} | {None}


def test_when_all_are_false_none_is_true():
    simulated, verdicts = run(images(*[MISTAKEN] * 9), count=5, wrong=5)
    assert (simulated.right, simulated.wrong) == (0, 5)
    assert MISTAKEN not in verdicts


def test_the_same_seed_gives_the_same_classes():
    told = [run(images(*[RIGHT] * 30), 20, 20, seed=seed)[1] for seed in (1, 1, 2)]
    assert told[0] == told[1] != told[2]


def test_too_few_images_end_the_work_unfinished():
    simulated, _ = run(images(RIGHT, MISTAKEN, RIGHT), count=5)
    assert (simulated.corrections, simulated.agreed, simulated.is_done) == (1, 2, False)


def test_an_image_that_is_refused_is_passed_over():
    found = [LabelledImage("x", MISTAKEN, lambda: b"no image"), *images(MISTAKEN)]
    simulated, verdicts = run(found, count=1)
    assert (simulated.refused, verdicts) == (1, [MISTAKEN])


@pytest.mark.parametrize("status", [0, 401, 429, 500, 503])
def test_what_would_happen_to_every_image_ends_the_work(status):
    with pytest.raises(ApiError):
        run([LabelledImage("x", MISTAKEN, lambda: b"no image")], count=1, api=Api(status))
