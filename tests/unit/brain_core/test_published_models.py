import pytest

from brain_core.errors import ModelVersionUnknown, StorageError
from brain_core.published_models import champion_pointer, published_models, require_version
from brain_core.storage import model_key
from tests.fixtures_bundle import promote, upload_bundle


def test_versions_are_listed_newest_first_with_decision_and_fault(bucket):
    for version in ("9", "10", "2"):
        upload_bundle(bucket, version)
    bucket.write(model_key("10", "decision.json"), b'{"version": "10", "decision": {"is_promoted": true}}')
    bucket.write(model_key("9", "decision.json"), b"damaged")
    bucket.write(model_key("2", "manifest.json"), b"damaged")
    models = published_models(bucket)
    assert [model.version for model in models] == ["10", "9", "2"]
    assert models[0].decision["decision"]["is_promoted"] is True
    assert (models[0].manifest.metrics, models[0].fault) == ({"macro_f1": 1.0}, None)
    assert (models[1].decision, models[1].fault) == (None, None)
    assert models[2].manifest is None
    assert "manifest.json" in models[2].fault


def test_a_version_without_a_manifest_is_none(bucket):
    upload_bundle(bucket, "1")
    bucket.delete(model_key("1", "manifest.json"))
    assert published_models(bucket) == []


def test_the_pointer_is_none_until_one_can_be_followed(bucket):
    assert champion_pointer(bucket) is None
    bucket.write("models/champion.json", b"{}")
    assert champion_pointer(bucket) is None
    upload_bundle(bucket, "1")
    promote(bucket, "1")
    assert champion_pointer(bucket).version == "1"


@pytest.mark.parametrize("version", ["2", "", "..", "../models/1", "1/"])
def test_only_a_version_in_the_bucket_is_known(bucket, version):
    upload_bundle(bucket, "1")
    require_version(bucket, "1")
    with pytest.raises(ModelVersionUnknown, match="GET /v1/models"):
        require_version(bucket, version)


def test_a_bucket_that_is_away_is_no_empty_list(bucket):
    class Away:
        def keys(self, prefix):
            raise StorageError("away")

    with pytest.raises(StorageError):
        published_models(Away())
