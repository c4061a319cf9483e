import logging
from dataclasses import replace

import numpy as np
import pytest

from brain_core.errors import ModelUnavailable, StorageError
from brain_core.gate import Gate
from brain_core.storage import CHAMPION_KEY
from serving.champion import ChampionWatch
from tests.fixtures_bundle import golden_answers, promote, publish_bundle, tiny_gate, tiny_model, upload_bundle
from tests.fixtures_serving import wait_until


class FlakyBucket:
    """A bucket that can be switched off, and that counts what is read."""

    def __init__(self, bucket):
        self.bucket, self.is_away, self.reads = bucket, False, []

    def read(self, key):
        if self.is_away:
            raise StorageError("The bucket is away.")
        self.reads.append(key)
        return self.bucket.read(key)


def watch(bucket):
    return ChampionWatch(bucket, poll_s=0.02, threads=1)


def version(champion):
    return champion.bundle.manifest.version


def test_without_a_champion_there_is_no_model(bucket):
    champion = watch(bucket)
    champion.look()
    assert champion.failure is None
    with pytest.raises(ModelUnavailable):
        _ = champion.bundle


def test_a_newer_champion_takes_over(champion_bucket):
    champion = watch(champion_bucket)
    champion.look()
    assert version(champion) == "1"
    publish_bundle(champion_bucket, "2")
    champion.look()
    assert version(champion) == "2"


def test_the_watch_looks_by_itself_until_it_is_stopped(champion_bucket):
    champion = watch(champion_bucket)
    champion.start()
    publish_bundle(champion_bucket, "2")
    wait_until(lambda: version(champion) == "2")
    champion.stop()
    assert not champion._thread.is_alive()


def test_an_unchanged_champion_is_not_loaded_again(champion_bucket):
    bucket = FlakyBucket(champion_bucket)
    champion = watch(bucket)
    champion.look()
    bucket.reads.clear()
    champion.look()
    assert bucket.reads == [CHAMPION_KEY]


def test_promoting_an_older_version_goes_back_to_it(champion_bucket):
    champion = watch(champion_bucket)
    publish_bundle(champion_bucket, "2")
    champion.look()
    promote(champion_bucket, "1")
    champion.look()
    assert version(champion) == "1"


def empty_gate():
    gate = tiny_gate()
    narrow = np.zeros((len(gate.known.histograms), 9), np.float16)
    return Gate(replace(gate.known, histograms=narrow), gate.trees, 0.5).to_bytes()


@pytest.mark.parametrize(
    "replaced",
    [
        {"model": b"no model"},
        {"model": tiny_model().replace(b"probabilities", b"probabilitiez")},
        {"gate": b"no gate"},
        {"gate": empty_gate()},
    ],
    ids=["no model", "lacks an output", "no gate", "gate of another shape"],
)
def test_a_bundle_that_cannot_judge_is_not_taken(champion_bucket, caplog, replaced):
    champion = watch(champion_bucket)
    champion.look()
    publish_bundle(champion_bucket, "2", **replaced)
    champion.look()
    champion.look()
    assert version(champion) == "1"
    assert champion.failure
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_manifest_other_than_the_promoted_one_is_not_taken(champion_bucket):
    champion = watch(champion_bucket)
    champion.look()
    publish_bundle(champion_bucket, "2")
    manifest = champion_bucket.read("models/2/manifest.json")
    champion_bucket.write("models/2/manifest.json", manifest.replace(b"drawn", b"drown"))
    champion.look()
    assert version(champion) == "1"
    assert "promoted" in champion.failure


def test_a_pointer_to_nothing_is_not_taken(champion_bucket):
    champion = watch(champion_bucket)
    champion.look()
    upload_bundle(champion_bucket, "2")
    promote(champion_bucket, "2")
    champion_bucket.delete("models/2/manifest.json")
    champion.look()
    assert version(champion) == "1"
    assert "'2'" in champion.failure


def test_a_bucket_that_is_away_is_reported_once_and_looked_at_again(champion_bucket, caplog):
    bucket = FlakyBucket(champion_bucket)
    champion = watch(bucket)
    champion.look()
    bucket.is_away = True
    champion.look()
    champion.look()
    assert (version(champion), champion.failure, len(caplog.records)) == ("1", "The bucket is away.", 1)
    bucket.is_away = False
    publish_bundle(champion_bucket, "2")
    champion.look()
    assert (version(champion), champion.failure) == ("2", None)


def test_a_removed_pointer_keeps_the_model(champion_bucket):
    champion = watch(champion_bucket)
    champion.look()
    champion_bucket.delete(CHAMPION_KEY)
    champion.look()
    assert version(champion) == "1"


class Notes:
    """What an observer was told."""

    def __init__(self):
        self.told = []

    def model(self, version):
        self.told.append(version)

    def model_failed(self):
        self.told.append("failed")

    def model_is_newest(self):
        self.told.append("newest")


def test_a_model_that_gives_its_golden_answers_is_taken(champion_bucket):
    champion = watch(champion_bucket)
    publish_bundle(champion_bucket, "2", golden=golden_answers().to_bytes())
    champion.look()
    assert (version(champion), champion.failure) == ("2", None)


@pytest.mark.parametrize("golden", [golden_answers(error=0.01).to_bytes(), b"no archive"], ids=["other", "damaged"])
def test_a_model_that_answers_otherwise_than_when_it_was_made_is_not_taken(champion_bucket, golden):
    champion = watch(champion_bucket)
    champion.look()
    publish_bundle(champion_bucket, "2", golden=golden)
    champion.look()
    assert version(champion) == "1"
    assert "golden" in champion.failure


def test_success_failure_and_return_are_told(champion_bucket):
    notes = Notes()
    champion = ChampionWatch(champion_bucket, 0.02, 1, notes)
    champion.look()
    publish_bundle(champion_bucket, "2", model=b"no model")
    champion.look()
    champion.look()
    promote(champion_bucket, "1")
    champion.look()
    assert notes.told == ["1", "failed", "1", "newest"]


def test_the_warning_hides_where_the_bucket_is(champion_bucket):
    bucket = FlakyBucket(champion_bucket)
    champion = watch(bucket)
    champion.look()
    assert champion.warning is None
    bucket.is_away = True
    champion.look()
    assert champion.warning == "The bucket of the models cannot be read; the log tells why."
