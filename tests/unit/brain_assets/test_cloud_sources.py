"""Kaggle from a cache that was filled before, and with a server in its place.

A download from Kaggle itself was not tried.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kagglesdk.kaggle_env as kaggle_env
import pytest
from google.auth.exceptions import DefaultCredentialsError

from brain_assets.ml.sources import open_source
from brain_core.errors import SourceMissing
from tests.fixtures_gcs import answering_server
from tests.fixtures_images import LISTED, write_images
from tests.fixtures_platform import free_ports

HANDLE = "masoudnickparvar/brain-tumor-mri-dataset"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """kagglehub's folder of the data set, with version 2 as a download leaves it."""
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "TEST")
    folder = tmp_path / "datasets" / HANDLE
    write_images(folder / "versions" / "2")
    (folder / "2.complete").touch()
    return folder


@contextmanager
def kaggle_answers(monkeypatch: pytest.MonkeyPatch, status: int, answer: dict[str, Any]) -> Iterator[None]:
    with answering_server(status, answer) as url:
        monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.TEST, url)
        yield


@pytest.fixture
def _kaggle_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens in Kaggle's place."""
    url = f"http://127.0.0.1:{free_ports(('KAGGLE',))['KAGGLE']}"
    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.TEST, url)


@pytest.mark.usefixtures("_kaggle_away")
def test_named_version_in_the_cache_needs_no_network(cache: Path):
    source = open_source(f"kaggle:{HANDLE}/versions/2")
    images = source.list()
    assert [image.path for image in images] == sorted(LISTED)
    assert source.read(images[0]) == (cache / "versions/2" / images[0].path).read_bytes()


@pytest.mark.usefixtures("cache")
def test_without_a_version_kaggle_is_asked_for_the_current_one(monkeypatch: pytest.MonkeyPatch):
    with kaggle_answers(monkeypatch, 200, {"currentVersionNumber": 2}):
        assert [image.path for image in open_source(f"kaggle:{HANDLE}").list()] == sorted(LISTED)


@pytest.mark.usefixtures("_kaggle_away")
def test_marks_survive_another_download_and_tell_versions_apart(cache: Path):
    before = open_source(f"kaggle:{HANDLE}/versions/2").list()
    for image in before:
        os.utime(cache / "versions/2" / image.path, (1, 1))
    write_images(cache / "versions" / "3")
    (cache / "3.complete").touch()
    assert open_source(f"kaggle:{HANDLE}/versions/2").list() == before
    later = open_source(f"kaggle:{HANDLE}/versions/3").list()
    assert not {image.mark for image in before} & {image.mark for image in later}


@pytest.mark.usefixtures("cache", "_kaggle_away")
@pytest.mark.parametrize("handle", [HANDLE, f"{HANDLE}/versions/7"])
def test_kaggle_that_is_away_is_said(handle: str):
    with pytest.raises(SourceMissing, match=r"Kaggle cannot be reached: .* Check the network"):
        open_source(f"kaggle:{handle}")


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "Kaggle refuses .*brain-tumor-mri-dataset.* KAGGLE_API_TOKEN"),
        (403, "Kaggle refuses .*not public, or there is none of this name"),
        (404, "Kaggle has no data set .*Check owner, name and version"),
        (500, "Kaggle answered with an error .*500"),
    ],
)
def test_refusal_of_kaggle_says_what_to_do(monkeypatch: pytest.MonkeyPatch, status: int, message: str):
    with kaggle_answers(monkeypatch, status, {}), pytest.raises(SourceMissing, match=message):
        open_source(f"kaggle:{HANDLE}")


@pytest.mark.usefixtures("cache")
def test_answer_that_makes_no_sense_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch):
    with kaggle_answers(monkeypatch, 200, {}), pytest.raises(SourceMissing, match="could not be downloaded"):
        open_source(f"kaggle:{HANDLE}")


@pytest.mark.parametrize("handle", ["", "one-part", "a/b/c", "a/b/versions/new", "a/b/versions/1/x", "../b"])
def test_handle_that_names_no_data_set_is_refused(handle: str):
    with pytest.raises(SourceMissing, match="Write kaggle:owner/dataset"):
        open_source(f"kaggle:{handle}")


def test_cloud_storage_without_credentials_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "absent.json"))
    with pytest.raises(SourceMissing, match=r"no Google Cloud credentials: .*absent\.json"):
        open_source("gs://bucket/prefix")


def test_cloud_storage_client_without_credentials_is_said():
    def refuse() -> None:
        raise DefaultCredentialsError("no file")

    with pytest.raises(SourceMissing, match="no Google Cloud credentials: no file"):
        open_source("gs://bucket/prefix", refuse)


@pytest.mark.parametrize("uri", ["gs://", "gs:///prefix"])
def test_address_without_a_bucket_is_refused(uri: str):
    with pytest.raises(SourceMissing, match="names no bucket"):
        open_source(uri)
