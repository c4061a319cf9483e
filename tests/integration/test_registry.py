from uuid import uuid4

import pytest

from brain_assets.ml.registry import CHAMPION, MODEL_NAME, ModelRegistry
from brain_core.errors import RegistryError


@pytest.fixture
def registry(mlflow_url: str) -> ModelRegistry:
    return ModelRegistry(mlflow_url, timeout_s=20)


def test_a_run_that_ends_well_is_finished_with_what_was_logged(registry):
    with registry.run("training", {"dagster_run_id": "1"}) as run:
        run.log_params({"epochs": 3})
        run.log_metrics({"loss": 1.5}, step=1)
        run.log_metrics({"loss": 0.5}, step=2)
        run.set_tags({"architecture": "compact_cnn"})
        run.log_files({"a.json": b"{}"}, "bundle")
    assert registry.run_status(run.run_id) == "FINISHED"
    stored = registry._client.get_run(run.run_id)
    assert stored.data.params == {"epochs": "3"}
    assert stored.data.tags["architecture"] == "compact_cnn"
    assert [m.value for m in registry._client.get_metric_history(run.run_id, "loss")] == [1.5, 0.5]
    assert [f.path for f in registry._client.list_artifacts(run.run_id, "bundle")] == ["bundle/a.json"]


def test_a_run_that_fails_is_failed_and_the_error_goes_on(registry):
    with pytest.raises(ValueError, match="no good"), registry.run("training", {}) as run:
        raise ValueError("no good")
    assert registry.run_status(run.run_id) == "FAILED"


def test_a_run_that_is_interrupted_is_killed(registry):
    with pytest.raises(KeyboardInterrupt), registry.run("training", {}) as run:
        raise KeyboardInterrupt
    assert registry.run_status(run.run_id) == "KILLED"


def test_two_runs_in_one_process_do_not_mix(registry):
    with registry.run("one", {}) as one, registry.run("two", {}) as two:
        one.log_params({"who": "one"})
        two.log_params({"who": "two"})
    assert one.run_id != two.run_id
    assert registry._client.get_run(one.run_id).data.params == {"who": "one"}


def test_versions_count_and_the_alias_moves(registry):
    with registry.run("training", {}) as run:
        run.log_files({"model.onnx": b"x"}, "bundle")
    first = registry.register(run, "bundle", {"source": "sample"})
    second = registry.register(registry.existing_run(run.run_id), "bundle", {})
    assert int(second) == int(first) + 1
    registry.set_alias(CHAMPION, first)
    registry.set_alias(CHAMPION, second)
    assert registry.alias_version(CHAMPION) == second
    assert registry._client.get_model_version(MODEL_NAME, first).tags == {"source": "sample"}


def test_an_alias_that_was_never_set_points_nowhere(registry):
    with registry.run("training", {}) as run:
        run.log_files({"x": b""}, "bundle")
    registry.register(run, "bundle", {})
    assert registry.alias_version("nobody") is None


def test_an_unknown_version_and_an_unknown_run_are_errors_of_ours(registry):
    with pytest.raises(RegistryError):
        registry.set_alias(CHAMPION, "999999")
    with pytest.raises(RegistryError):
        registry.existing_run(uuid4().hex)


def test_a_server_that_is_away_says_so_soon():
    with pytest.raises(RegistryError, match="Is the server up"), ModelRegistry("http://127.0.0.1:9", 2).run("x", {}):
        pytest.fail("ran")
