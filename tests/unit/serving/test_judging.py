import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from brain_core.errors import ModelUnavailable
from brain_core.imaging import decode
from serving.champion import ChampionWatch
from serving.judging import MAX_TOGETHER, Judge
from tests.fixtures_bundle import publish_bundle, slice_jpeg

LABELS = ("glioma", "meningioma", "notumor", "pituitary")


class GatedSession:
    """The real session, but each run waits until it may go on."""

    def __init__(self, session):
        self.session, self.may_go_on, self.under_way, self.most, self.runs = session, threading.Event(), 0, 0, 0
        self.lock = threading.Lock()

    def run(self, images):
        with self.lock:
            self.under_way, self.runs = self.under_way + 1, self.runs + 1
            self.most = max(self.most, self.under_way)
        self.may_go_on.wait(20)
        answer = self.session.run(images)
        with self.lock:
            self.under_way -= 1
        return answer


@pytest.fixture
def champion(champion_bucket):
    champion = ChampionWatch(champion_bucket, poll_s=60, threads=1)
    champion.look()
    return champion


def gated(champion):
    session = GatedSession(champion.bundle.session)
    champion._bundle = replace(champion.bundle, session=session)
    return session


@pytest.mark.parametrize("at_once", [1, 2])
def test_no_more_runs_at_once_than_allowed_and_everybody_gets_an_own_answer(champion, at_once):
    session, judge = gated(champion), Judge(champion, at_once)
    count = at_once + 3 * MAX_TOGETHER
    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(judge.judge, decode(slice_jpeg(LABELS[i % 4], seed=i))) for i in range(count)]
        session.may_go_on.set()
        found = [future.result().judgement.inference.predicted_class for future in futures]
    assert found == [LABELS[i % 4] for i in range(count)]
    assert (session.most <= at_once, session.runs) == (True, count)


def test_together_the_gate_says_what_it_says_to_each_alone(champion):
    images = [decode(slice_jpeg(label)) for label in LABELS]
    together = champion.bundle.judge_all(images)
    for one, alone in zip(together, map(champion.bundle.judge, images), strict=True):
        assert one.decision.score == pytest.approx(alone.decision.score, rel=1e-5)
        assert (one.decision.is_valid, one.decision.reason) == (alone.decision.is_valid, alone.decision.reason)
        assert one.inference.predicted_class == alone.inference.predicted_class


def test_an_answer_names_the_model_that_gave_it(champion, champion_bucket):
    judge, image = Judge(champion), decode(slice_jpeg())
    assert judge.judge(image).bundle.manifest.version == "1"
    publish_bundle(champion_bucket, "2")
    champion.look()
    assert judge.judge(image).bundle.manifest.version == "2"


def test_without_a_model_nothing_is_judged(bucket):
    with pytest.raises(ModelUnavailable):
        Judge(ChampionWatch(bucket, poll_s=60, threads=1)).judge(decode(slice_jpeg()))
