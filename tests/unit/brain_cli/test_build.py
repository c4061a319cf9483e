import io

import pytest
from rich.console import Console

from brain_cli.build import BUILD_JOBS, build_everything, verify
from brain_cli.dagster_client import AssetState, RunProgress
from brain_core.errors import ProcessDied, StartupError


class FakeDagster:
    """Plays runs that take two looks and end as told."""

    def __init__(self, ends: str = "SUCCESS", assets: list[AssetState] | None = None) -> None:
        self.launched: list[str] = []
        self._ends = ends
        self._looks = 0
        self._assets = assets or []

    def wait_for_code(self) -> None:
        pass

    def launch(self, job: str) -> str:
        self.launched.append(job)
        return f"run of {job}"

    def progress(self, run_id: str) -> RunProgress:
        self._looks += 1
        return RunProgress("STARTED" if self._looks % 2 else self._ends, 1, 2, ("trained_model",))

    def failure(self, run_id: str) -> str:
        return "trained_model: the loss is not finite"

    def assets(self) -> list[AssetState]:
        return self._assets


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr("brain_cli.build.POLL_INTERVAL_S", 0)


def console() -> Console:
    return Console(file=io.StringIO())


def test_the_build_comes_before_the_monitoring():
    dagster = FakeDagster()
    build_everything(dagster, console(), lambda: None)
    assert dagster.launched == list(BUILD_JOBS) == ["data_and_model_build", "monitoring"]


def test_a_failed_run_names_the_step_and_the_reason():
    dagster = FakeDagster(ends="FAILURE")
    with pytest.raises(StartupError, match="data_and_model_build ended with FAILURE:\ntrained_model: the loss"):
        build_everything(dagster, console(), lambda: None)
    assert dagster.launched == ["data_and_model_build"]


def test_a_process_that_dies_ends_the_build():
    def died() -> None:
        raise ProcessDied("mlflow ended with code 1.")

    with pytest.raises(ProcessDied, match="mlflow"):
        build_everything(FakeDagster(), console(), died)


def test_verification_finds_what_is_missing_or_failed():
    dagster = FakeDagster(
        assets=[
            AssetState("raw_images", True, (), ()),
            AssetState("promotion", False, (), ()),
            AssetState("dataset_splits", True, ("no_duplicate_crosses_a_split (blocking)",), ()),
            AssetState("duplicate_groups", True, ("copies_agree_on_the_label",), ("other",)),
        ]
    )
    assert verify(dagster) == [
        "promotion was not materialised",
        "dataset_splits: check no_duplicate_crosses_a_split (blocking) failed",
        "duplicate_groups: check other was not run",
    ]
