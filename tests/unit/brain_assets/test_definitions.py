import dagster as dg
import pytest

from brain_assets.config import TrainingParameters, TrainingSetParameters
from brain_assets.definitions import build_definitions
from brain_core.settings import load_settings

ASSETS = {
    "source_images", "raw_images", "image_manifest", "image_statistics", "current_statistics",
    "annotations", "shortcut_audit", "histograms", "duplicate_groups", "dataset_splits", "feedback_set",
    "training_set", "augmented_dataset", "transformed_test_set", "trained_model", "model_evaluation",
    "upload_gate", "inference_bundle", "promotion", "baseline_model",
    "reference_profile", "recent_predictions", "drift_report",
}  # fmt: skip


@pytest.fixture
def definitions(monkeypatch) -> dg.Definitions:
    monkeypatch.setenv("BRAIN_DATABASE__URL", "postgresql://user:hunter2@host/brain")
    monkeypatch.setenv("BRAIN_MAIL__SMTP_PASSWORD", "hunter3")
    return build_definitions(load_settings())


def test_everything_can_be_loaded(definitions):
    dg.Definitions.validate_loadable(definitions)


def test_the_assets_are_those_of_the_architecture(definitions):
    assert {key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys()} == ASSETS


@pytest.mark.parametrize(
    ("job", "first", "absent"),
    [
        ("ingest_batch", "raw_images", "image_manifest"),
        ("data_and_model_build", "image_manifest", "drift_report"),
        ("model_retraining", "feedback_set", "image_manifest"),
        ("monitoring", "reference_profile", "promotion"),
        ("baseline", "baseline_model", "promotion"),
    ],
)
def test_a_job_selects_its_part_of_the_one_graph(definitions, job, first, absent):
    selected = {key.to_user_string() for key in definitions.resolve_job_def(job).asset_layer.selected_asset_keys}
    assert first in selected
    assert absent not in selected


def test_a_retraining_makes_the_same_assets_from_the_feedback_down(definitions):
    selected = definitions.resolve_job_def("model_retraining").asset_layer.selected_asset_keys
    assert {key.to_user_string() for key in selected} == {
        "feedback_set", "training_set", "augmented_dataset", "trained_model", "model_evaluation", "inference_bundle",
        "promotion",
    }  # fmt: skip


def retraining_config() -> tuple[dict, dict]:
    """What the assets of a retraining are given that nobody configures: `training_set`, `trained_model`."""
    job = build_definitions(load_settings()).resolve_job_def("model_retraining")
    given = dg.validate_run_config(job, {})["ops"]
    return given["training_set"]["config"], given["trained_model"]["config"]


def test_a_retraining_has_the_parameters_of_the_settings(monkeypatch):
    monkeypatch.setenv("BRAIN_RETRAINING__EPOCHS", "3")
    monkeypatch.setenv("BRAIN_RETRAINING__MIN_STEPS", "40")
    monkeypatch.setenv("BRAIN_RETRAINING__FEEDBACK_WEIGHT", "2.5")
    weighting, training = retraining_config()
    assert weighting == {"feedback_weight": 2.5}
    assert (training["epochs"], training["min_steps"]) == (3, 40)


def test_without_settings_a_retraining_trains_as_its_start_asks_for():
    weighting, training = retraining_config()
    assert weighting == {"feedback_weight": TrainingSetParameters().feedback_weight}
    assert TrainingParameters(**training) == TrainingParameters()


def test_what_must_hold_blocks(definitions):
    graph = definitions.resolve_asset_graph()
    blocking = {key.name for key in graph.asset_check_keys if graph.get_check_spec(key).blocking}
    assert blocking == {
        "source_is_not_empty", "images_decode", "classes_are_known", "no_duplicate_crosses_a_split",
        "no_patient_crosses_a_split",
        "onnx_equals_keras", "bundle_verifies", "no_used_correction_copies_a_test_image",
    }  # fmt: skip


def test_sensors_and_the_schedule_run_by_default(definitions):
    repository = definitions.get_repository_def()
    assert {s.name for s in repository.sensor_defs} == {
        "source_sensor", "data_flow", "feedback_threshold_sensor", "champion_alias_sensor",
        "promotion_request_sensor", "erasure_sensor", "shadow_sensor",
        "started_email", "success_email", "failure_email",
    }  # fmt: skip
    assert all(s.default_status == dg.DefaultSensorStatus.RUNNING for s in repository.sensor_defs)
    assert all(s.default_status == dg.DefaultScheduleStatus.RUNNING for s in repository.schedule_defs)


def test_data_flows_down_by_itself_but_batches_and_monitoring_have_their_own_triggers(definitions):
    graph = definitions.resolve_asset_graph()
    by_hand = {
        key.to_user_string() for key in graph.get_all_asset_keys() if graph.get(key).automation_condition is None
    }
    assert by_hand == {
        "source_images", "raw_images", "image_statistics", "reference_profile", "recent_predictions", "drift_report",
        "baseline_model",
    }  # fmt: skip


def test_no_secret_is_part_of_a_resource(definitions):
    assert "hunter" not in repr({name: vars(r) for name, r in (definitions.resources or {}).items()})
