import io

import pytest
from rich.console import Console

from brain_cli.build import Build, _step_left, _time_left, build_everything, jobs_to_run, verify
from brain_cli.dagster_client import AssetState, ExpectedRun, RunProgress, SensorTick
from brain_core.errors import ProcessDied, StartupError

DONE = AssetState("image_statistics", True, is_partitioned=True)
STARTED_AT = 1000.0
NOTHING_NEW = SensorTick((), "4 images in the source; nothing is new.", "")


class FakeDagster:
    """Plays runs that take two looks and end as told."""

    def __init__(self, assets: list[AssetState], tick: SensorTick | None = NOTHING_NEW, ends: str = "SUCCESS") -> None:
        self.launched: list[tuple[str, tuple[str, ...]]] = []
        self.followed: list[str] = []
        self.interrupted = 0
        self.going_on: list[str] = []
        self.old_tick: SensorTick | None = None
        self.looks_before_tick = 0
        self.dry_look: SensorTick | None = None
        self.dry_runs = 0
        self._ends = ends
        self._looks = 0
        self._assets = assets
        self._tick = tick

    def wait_for_code(self) -> None:
        pass

    def cancel_interrupted(self, created_before: float) -> int:
        return self.interrupted

    def ticks(self, sensor: str, after: float) -> SensorTick | None:
        if after != STARTED_AT:
            return self.old_tick
        self.looks_before_tick -= 1
        return None if self.looks_before_tick >= 0 else self._tick

    def dry_run(self, sensor: str) -> SensorTick | None:
        self.dry_runs += 1
        return self.dry_look

    def unfinished(self, job: str) -> list[str]:
        return self.going_on

    def launch(self, job: str, assets: tuple[str, ...]) -> str:
        self.launched.append((job, assets))
        return f"run of {job}"

    def expected(self, run_id: str) -> ExpectedRun:
        self.followed.append(run_id)
        return ExpectedRun(2, 90.0)

    def messages(self, run_id: str, cursor: str) -> tuple[list[str], str]:
        return ["images read: 3 of 4"], "1"

    def progress(self, run_id: str) -> RunProgress:
        self._looks += 1
        return RunProgress("STARTED" if self._looks % 2 else self._ends, 1, ("trained_model",))

    def failure(self, run_id: str) -> str:
        return "trained_model: the loss is not finite"

    def assets(self) -> list[AssetState]:
        return self._assets


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr("brain_cli.build.POLL_INTERVAL_S", 0)


def run(dagster: FakeDagster, check=lambda: None) -> str:
    output = io.StringIO()
    build_everything(Build(dagster, Console(file=output, width=200), check, STARTED_AT, source_interval_s=60.0))
    return output.getvalue()


def test_new_batches_are_read_before_the_build_and_the_monitoring():
    missing = [AssetState("image_manifest", False, group="ingestion"), AssetState("drift", False, group="monitoring")]
    dagster = FakeDagster([DONE, *missing], SensorTick(("one", "two"), "", ""))
    run(dagster)
    assert dagster.followed == ["one", "two", "run of data_and_model_build", "run of monitoring"]
    assert dagster.launched == [("data_and_model_build", ("image_manifest",)), ("monitoring", ("drift",))]


def test_a_restart_without_news_makes_nothing():
    dagster = FakeDagster([DONE, AssetState("image_manifest", True)])
    assert "nothing is new" in run(dagster)
    assert dagster.followed == []


def test_interrupted_runs_are_counted():
    dagster = FakeDagster([DONE])
    dagster.interrupted = 2
    assert "2 interrupted runs" in run(dagster)


def test_runs_of_the_sensor_that_go_on_are_followed_whatever_its_newest_look_says():
    reading = SensorTick(("one",), "4 images in the source; being read: batch 00001-a.", "")
    dagster = FakeDagster([AssetState("image_statistics", False, is_partitioned=True)], reading)
    dagster.going_on = ["one", "by hand"]
    run(dagster)
    assert dagster.followed == ["one", "by hand"]


def test_an_old_look_does_not_decide_and_the_wait_for_the_next_is_told():
    dagster = FakeDagster([DONE])
    dagster.old_tick = SensorTick(("old run",), "", "the folder of the last time is gone")
    dagster.looks_before_tick = 3
    output = run(dagster)
    assert "waiting for source_sensor to look at the source, at most 180 s" in output
    assert "nothing is new" in output
    assert dagster.followed == []


def test_shortly_after_an_old_look_a_dry_run_that_would_do_nothing_saves_the_wait():
    dagster = FakeDagster([DONE], tick=None)
    dagster.old_tick = SensorTick((), "", "the folder of the last time is gone")
    dagster.dry_look = NOTHING_NEW
    output = run(dagster)
    assert "nothing is new" in output
    assert "waiting" not in output


def test_no_dry_run_where_a_look_is_due():
    dagster = FakeDagster([DONE])
    dagster.looks_before_tick = 2
    run(dagster)
    assert dagster.dry_runs == 0


def test_a_dry_run_that_fails_leaves_it_to_the_sensor(monkeypatch):
    def refuse(sensor: str) -> None:
        raise StartupError("too slow")

    dagster = FakeDagster([DONE])
    dagster.old_tick, dagster.looks_before_tick = NOTHING_NEW, 2
    monkeypatch.setattr(dagster, "dry_run", refuse)
    assert "waiting for source_sensor" in run(dagster)


def test_a_sensor_that_never_looks_is_an_error(monkeypatch):
    monkeypatch.setattr("brain_cli.build.TICK_TIMEOUT_S", -60.0)
    with pytest.raises(StartupError, match="source_sensor did not look"):
        run(FakeDagster([DONE], tick=None))


def test_a_batch_that_waits_for_a_person_is_named_at_the_start():
    reason = "4 images in the source; failed 3 times within a day: batch 00001-a, the last time with: no space."
    with pytest.raises(StartupError, match="batch 00001-a, the last time with: no space"):
        run(FakeDagster([AssetState("image_statistics", False, is_partitioned=True)], SensorTick((), reason, "")))
    assert "batch 00001-a" in run(FakeDagster([DONE], SensorTick((), reason, "")))


def test_a_source_that_cannot_be_used_stops_the_first_build_only():
    tick = SensorTick((), "The source cannot be used, tried again later: it is gone", "")
    with pytest.raises(StartupError, match="it is gone"):
        run(FakeDagster([AssetState("image_statistics", False, is_partitioned=True)], tick))
    assert "it is gone" in run(FakeDagster([DONE], tick))


def test_a_sensor_that_fails_is_an_error():
    with pytest.raises(StartupError, match="source_sensor failed: boom"):
        run(FakeDagster([DONE], SensorTick((), "", "boom")))


def test_a_failed_run_names_the_step_and_the_reason():
    dagster = FakeDagster([DONE, AssetState("trained_model", False)], ends="FAILURE")
    with pytest.raises(StartupError, match="data_and_model_build ended with FAILURE:\ntrained_model: the loss"):
        run(dagster)


def test_a_process_that_dies_ends_the_build():
    def died() -> None:
        raise ProcessDied("mlflow ended with code 1.")

    with pytest.raises(ProcessDied, match="mlflow"):
        run(FakeDagster([DONE, AssetState("x", False)]), died)


def test_what_is_out_of_date_is_made_again_with_all_below_it():
    assets = [
        AssetState("a", True, downstream=("b",)),
        AssetState("b", True, is_stale=True, downstream=("c", "watch")),
        AssetState("c", True),
        AssetState("watch", True, group="monitoring"),
        AssetState("batch", True, is_partitioned=True, is_stale=True, downstream=("a",)),
        AssetState("outside", False, is_materializable=False, downstream=("a",)),
    ]
    assert jobs_to_run(assets) == [("data_and_model_build", ("b", "c")), ("monitoring", ("watch",))]


@pytest.mark.parametrize(
    "state", [{"failed_checks": ("splits (blocking)",)}, {"missing_checks": ("splits",)}, {"is_materialized": False}]
)
def test_what_is_not_verified_is_made_again(state):
    asset = AssetState(**{"name": "a", "is_materialized": True, **state})
    assert jobs_to_run([asset]) == [("data_and_model_build", ("a",))]


def test_a_warning_does_not_make_anything_again():
    assert jobs_to_run([AssetState("a", True, failed_checks=("calibration",))]) == []


@pytest.mark.parametrize(
    ("expected_s", "elapsed_s", "text"),
    [(None, 3, ""), (60, 61, ""), (95, 5, "about 1 min 30 s left"), (20, 5, "about 15 s left")],
)
def test_the_time_left_is_that_of_the_last_run_like_it(expected_s, elapsed_s, text):
    assert _time_left(expected_s, elapsed_s) == text


@pytest.mark.parametrize(("left_s", "text"), [(None, ""), (75.4, "about 1 min 15 s left in this step")])
def test_the_first_run_of_its_kind_tells_what_is_left_of_its_step(left_s, text):
    assert _step_left(left_s) == text


def test_the_steps_are_named_where_no_bar_can_move():
    assert "data_and_model_build: trained_model" in run(FakeDagster([DONE, AssetState("model", False)]))


def test_verification_finds_what_is_missing_or_failed():
    dagster = FakeDagster(
        assets=[
            AssetState("source_images", False, is_materializable=False),
            AssetState("raw_images", True),
            AssetState("promotion", False),
            AssetState("dataset_splits", True, ("no_duplicate_crosses_a_split (blocking)",)),
            AssetState("duplicate_groups", True, ("copies_agree_on_the_label",), ("other",)),
        ]
    )
    assert verify(dagster) == [
        "promotion was not materialised",
        "dataset_splits: check no_duplicate_crosses_a_split (blocking) failed",
        "duplicate_groups: check other was not run",
    ]


def test_what_is_made_by_hand_is_neither_made_at_the_start_nor_missed():
    baseline = AssetState("baseline_model", False, group="baseline")
    assert jobs_to_run([AssetState("promotion", True), baseline]) == []
    assert verify(FakeDagster([baseline])) == []
