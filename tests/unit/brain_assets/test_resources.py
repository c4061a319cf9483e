import dagster as dg
import pandas as pd
import pytest
from google.auth.exceptions import DefaultCredentialsError

from brain_assets.resources import AssetIOManager, BucketResource, MailResource, SourceResource
from brain_core.errors import SourceMissing, StorageError


def test_the_buckets_are_those_of_the_uris(tmp_path):
    buckets = BucketResource(uri=str(tmp_path / "data"), inference_uri=str(tmp_path / "uploads"))
    buckets.data().write("a", b"1")
    buckets.inference().write("b", b"2")
    assert (tmp_path / "data" / "a").read_bytes() == b"1"
    assert (tmp_path / "uploads" / "b").read_bytes() == b"2"


def test_a_missing_source_is_an_error_of_ours(tmp_path):
    with pytest.raises(SourceMissing):
        SourceResource(uri=str(tmp_path / "absent"), batch_size=10, max_undecodable_share=0.0).open()


@pytest.mark.parametrize(
    ("open_it", "error"),
    [
        (BucketResource(uri="gs://scans/data", inference_uri="gs://scans").data, StorageError),
        (BucketResource(uri="gs://scans/data", inference_uri="gs://scans").inference, StorageError),
        (SourceResource(uri="gs://scans/data", batch_size=10, max_undecodable_share=0.0).open, SourceMissing),
    ],
)
def test_google_cloud_without_credentials_says_what_to_do(monkeypatch, open_it, error):
    def no_credentials(**_):
        raise DefaultCredentialsError("Your default credentials were not found.")

    monkeypatch.setattr("google.auth.default", no_credentials)
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    with pytest.raises(error, match=r"without credentials: .* Run `gcloud auth application-default login`"):
        open_it()


def test_mail_without_a_server_goes_to_the_outbox(tmp_path, monkeypatch):
    monkeypatch.setenv("BRAIN_HOME", str(tmp_path))
    MailResource().send("Subject", "Text")
    (mail,) = (tmp_path / "outbox").glob("*.eml")
    assert b"Subject" in mail.read_bytes()


def test_an_assets_value_reaches_the_next_asset_through_the_bucket(tmp_path):
    @dg.asset
    def first() -> pd.DataFrame:
        return pd.DataFrame({"n": [1, 2]})

    @dg.asset
    def second(first: pd.DataFrame) -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(metadata={"total": int(first["n"].sum())})

    manager = AssetIOManager(uri=str(tmp_path))
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([first, second], resources={"io_manager": manager}, instance=instance)
    (materialization,) = result.asset_materializations_for_node("second")
    assert materialization.metadata["total"].value == 3
    assert (tmp_path / "assets" / "first" / "value.parquet").is_file()
