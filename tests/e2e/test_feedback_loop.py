"""The feedback loop turns by itself on the running platform; in the order of the file."""

import random
import time
from email import message_from_bytes, policy
from functools import partial

import pytest
from sqlalchemy import text

from brain_assets.ml.sources import SampleSource
from brain_cli.simulation import LabelledImage, Simulated, give_feedback
from brain_core.bundle import read_champion
from tests.fixtures_platform import RunningPlatform, eventually

SENSOR = "feedback_threshold_sensor"
SOURCE = SampleSource(count=240, seed=7)
"""Slices that the platform has not seen: another seed than that of its source."""

THRESHOLD = 50
RETRAINING_TIMEOUT_S = 600


@pytest.fixture(scope="module")
def slices() -> list[LabelledImage]:
    """Each is uploaded once only."""
    return [LabelledImage(image.path, image.label, partial(SOURCE.read, image)) for image in SOURCE.list()]


def correct(platform: RunningPlatform, slices: list[LabelledImage], count: int) -> None:
    """Correct so many further images: to the true class where the model was wrong, else to a false one."""
    used = [slices.pop() for _ in range(count)]
    simulated = Simulated(count, count)
    for image in used:
        give_feedback(platform.api, [image], simulated, random.Random(0))
    assert simulated.corrections == count


def rows(platform: RunningPlatform, query: str) -> list[tuple[object, ...]]:
    engine = platform.engine()
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(text(query))]
    engine.dispose()
    return found


def claims(platform: RunningPlatform) -> list[tuple[object, ...]]:
    """Of each retraining, oldest first: version, whether it was promoted, whether that was carried out, corrections."""
    return rows(
        platform,
        "SELECT r.model_version, r.is_promoted, r.is_settled, count(f.prediction_id) FROM retraining r"
        " LEFT JOIN retraining_feedback f ON f.retraining_id = r.id GROUP BY r.id ORDER BY r.id",
    )


def runs(platform: RunningPlatform) -> list[dict[str, str]]:
    query = '{ runsOrError(filter: {pipelineName: "model_retraining"}) { ... on Runs { results { runId status } } } }'
    return list(platform.dagster._query(query)["runsOrError"]["results"])


def next_look(platform: RunningPlatform) -> str:
    """What the sensor says of the corrections that are there now."""
    since = time.time()
    return eventually(lambda: platform.dagster.ticks(SENSOR, after=since), 120, "a look of the sensor").skip_reason


def wait_for_retraining(platform: RunningPlatform, number: int) -> None:
    def ended() -> bool:
        found = runs(platform)
        return len(found) == number and all(run["status"] in {"SUCCESS", "FAILURE", "CANCELED"} for run in found)

    eventually(ended, RETRAINING_TIMEOUT_S, f"retraining {number} ended")
    newest = runs(platform)[0]
    assert newest["status"] == "SUCCESS", platform.dagster.failure(newest["runId"])


def assert_the_champion_answers(platform: RunningPlatform, before: str) -> None:
    """The new version where it was promoted, else the old one."""
    version, is_promoted, is_settled, _ = claims(platform)[-1]
    assert is_settled
    champion = read_champion(platform.bucket).version
    assert champion == (version if is_promoted else before)
    eventually(lambda: platform.api.model().version == champion, 30, f"an answer of version {champion}")


def test_fifty_corrected_images_start_nothing_however_often_one_of_them_is_uploaded(platform, slices):
    again = slices[-1]
    correct(platform, slices, THRESHOLD)
    give_feedback(platform.api, [again], Simulated(1, 1), random.Random(0))
    assert rows(platform, "SELECT count(*) FROM feedback WHERE NOT agrees")[0][0] > THRESHOLD
    assert "50 corrected images wait; a retraining starts at more than 50." in next_look(platform)
    assert runs(platform) == []


def test_the_fifty_first_starts_one_retraining_also_after_a_restart(platform, slices):
    before = read_champion(platform.bucket).version
    platform.restart()
    assert "50 corrected images wait" in next_look(platform)
    correct(platform, slices, 1)
    wait_for_retraining(platform, 1)
    assert [row[3] for row in claims(platform)] == [THRESHOLD + 2]
    assert_the_champion_answers(platform, before)
    assert "0 corrected images wait" in next_look(platform)
    assert len(runs(platform)) == 1


def test_a_second_wave_starts_a_second_one(platform, slices):
    before = read_champion(platform.bucket).version
    correct(platform, slices, THRESHOLD + 1)
    wait_for_retraining(platform, 2)
    assert [row[3] for row in claims(platform)] == [THRESHOLD + 2, THRESHOLD + 1]
    assert_the_champion_answers(platform, before)
    assert "0 corrected images wait" in next_look(platform)
    assert len(claims(platform)) == len(runs(platform)) == 2


def test_each_retraining_was_mailed_about_when_it_started_and_when_it_ended(platform):
    def subjects() -> list[str]:
        messages = [message_from_bytes(path.read_bytes(), policy=policy.default) for path in platform.outbox]
        return [str(message["Subject"]) for message in messages if "model_retraining" in str(message["Subject"])]

    eventually(lambda: len(subjects()) >= 4, 60, "two mails about each retraining")
    assert sum(subject.endswith("model_retraining started") for subject in subjects()) == 2
    assert sum("model_retraining succeeded: " in subject for subject in subjects()) == 2
