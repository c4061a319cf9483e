"""A source on Google Cloud Storage, against an emulator."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from brain_assets.ml.batches import images_of, plan_batches, read_listing
from brain_assets.ml.ingestion import ingest
from brain_assets.ml.sources import FolderSource, fingerprint, open_source
from brain_assets.resources import SourceResource
from brain_core import storage
from brain_core.errors import SourceClassUnknown, SourceEmpty, SourceMissing
from brain_core.storage import GcsBucket
from tests.fixtures_gcs import answering_server, gcs_client_of, running_emulator
from tests.fixtures_images import LISTED, distinct_jpeg, write_images

PREFIX = "sets/first"


def upload(bucket, paths=LISTED, prefix=PREFIX):
    for seed, path in enumerate(paths):
        bucket.blob(f"{prefix}/{path}").upload_from_string(distinct_jpeg(seed))


@pytest.fixture
def source(gcs_bucket, gcs_client):
    upload(gcs_bucket)
    return open_source(f"gs://{gcs_bucket.name}/{PREFIX}", lambda: gcs_client)


def test_a_folder_and_its_copy_in_a_bucket_list_and_read_the_same(source, tmp_path):
    folder = FolderSource(write_images(tmp_path))
    images, local = source.list(), folder.list()
    assert [(i.path, i.label, i.published_split) for i in images] == [
        (i.path, i.label, i.published_split) for i in local
    ]
    assert [source.read(image) for image in images] == [folder.read(image) for image in local]
    assert source.name == folder.name == "own"


def test_the_plain_layout_has_no_published_split(gcs_bucket, gcs_client):
    upload(gcs_bucket, ("notumor/x.jpg", "glioma/deep/y.png"), prefix="plain")
    images = open_source(f"gs://{gcs_bucket.name}/plain/", lambda: gcs_client).list()
    assert [(i.path, i.published_split) for i in images] == [("glioma/deep/y.png", ""), ("notumor/x.jpg", "")]


def test_a_source_may_be_the_whole_bucket(gcs_bucket, gcs_client):
    upload(gcs_bucket, ("glioma/x.jpg",), prefix="")
    gcs_bucket.rename_blob(gcs_bucket.blob("/glioma/x.jpg"), "glioma/x.jpg")
    (image,) = open_source(f"gs://{gcs_bucket.name}", lambda: gcs_client).list()
    assert image.path == "glioma/x.jpg"


def test_what_is_hidden_loose_or_a_folders_placeholder_is_left_out(source, gcs_bucket):
    for path in ("README.md", "Training/notes.txt", ".git/x", "Training/glioma/", "Training/glioma/.DS_Store"):
        gcs_bucket.blob(f"{PREFIX}/{path}").upload_from_string(b"")
    assert [image.path for image in source.list()] == sorted(LISTED)


def test_neighbours_of_the_prefix_are_left_out(source, gcs_bucket):
    upload(gcs_bucket, ("Training/glioma/other.jpg",), prefix=f"{PREFIX}-second")
    assert [image.path for image in source.list()] == sorted(LISTED)


def test_the_fingerprint_follows_the_content(source, gcs_bucket):
    first = fingerprint(source.list())
    upload(gcs_bucket)
    assert fingerprint(source.list()) == first
    seen = {first}
    gcs_bucket.blob(f"{PREFIX}/Training/glioma/a.jpg").upload_from_string(distinct_jpeg(9))
    seen.add(fingerprint(source.list()))
    gcs_bucket.blob(f"{PREFIX}/Training/glioma/new.jpg").upload_from_string(distinct_jpeg(10))
    seen.add(fingerprint(source.list()))
    gcs_bucket.blob(f"{PREFIX}/Testing/notumor/d.jpg").delete()
    seen.add(fingerprint(source.list()))
    assert len(seen) == 4


def test_annotations_are_an_object_under_the_prefix(source, gcs_bucket):
    assert source.annotations() is None
    gcs_bucket.blob(f"{PREFIX}/annotations.csv").upload_from_string(b"file,patient\n")
    assert source.annotations() == b"file,patient\n"


def test_the_mark_of_the_annotations_follows_their_content(source, gcs_bucket):
    gcs_bucket.blob(f"{PREFIX}/annotations.csv.old").upload_from_string(b"another file")
    assert source.annotations_mark() == ""
    seen = set()
    for content in (b"file,patient\n", b"file,patient\n", b"file,plane\n"):
        gcs_bucket.blob(f"{PREFIX}/annotations.csv").upload_from_string(content)
        seen.add(source.annotations_mark())
    assert len(seen) == 2
    assert "" not in seen


def test_an_image_that_vanishes_after_listing_is_named(source, gcs_bucket):
    image = source.list()[0]
    gcs_bucket.blob(f"{PREFIX}/{image.path}").delete()
    with pytest.raises(SourceMissing, match=f"gs://{gcs_bucket.name}/{PREFIX}/{image.path} is gone"):
        source.read(image)


def test_many_threads_read_at_once(source):
    images = source.list() * 25
    with ThreadPoolExecutor(8) as executor:
        contents = list(executor.map(source.read, images))
    assert contents == [source.read(image) for image in source.list()] * 25


def test_a_prefix_without_objects_is_empty(gcs_bucket, gcs_client):
    with pytest.raises(SourceEmpty, match=f"gs://{gcs_bucket.name}/absent holds no image"):
        open_source(f"gs://{gcs_bucket.name}/absent", lambda: gcs_client).list()


@pytest.mark.parametrize("path", ["Training/gliom/x.jpg", "Validation/glioma/x.jpg", "Training/gliom/"])
def test_an_unknown_folder_is_named_with_the_classes(source, gcs_bucket, path):
    gcs_bucket.blob(f"{PREFIX}/{path}").upload_from_string(b"")
    folder = path.removesuffix("x.jpg").removesuffix("/").removesuffix("/glioma")
    with pytest.raises(SourceClassUnknown, match=f"{PREFIX}/{folder} is not one of .*glioma, meningioma"):
        source.list()


def test_a_bucket_that_is_not_there_is_said(gcs_client):
    source = open_source("gs://absent-bucket/x", lambda: gcs_client)
    for use in (source.list, lambda: fingerprint(source.list()), source.annotations, source.annotations_mark):
        with pytest.raises(SourceMissing, match="no bucket 'absent-bucket'"):
            use()


def test_a_bucket_that_may_not_be_read_says_which_role_is_missing():
    denied = {"error": {"code": 403, "message": "denied"}}
    with answering_server(403, denied) as url:
        source = open_source("gs://locked/x", lambda: gcs_client_of(url))
        for use in (source.list, source.annotations):
            with pytest.raises(SourceMissing, match=r"locked refuses access: .*denied.*Storage Object Viewer"):
                use()


def test_a_bucket_that_went_away_is_said(monkeypatch):
    monkeypatch.setattr(storage, "GCS_RETRY_S", 0.5)
    with running_emulator() as url:
        client = gcs_client_of(url)
        upload(client.create_bucket("gone"))
        source = open_source(f"gs://gone/{PREFIX}", lambda: client)
        image = source.list()[0]
    for use in (source.list, source.annotations, lambda: source.read(image)):
        with pytest.raises(SourceMissing, match="gone is away"):
            use()


def test_new_images_flow_from_bucket_to_bucket_in_batches(source, gcs_bucket, gcs_client):
    bucket = GcsBucket(gcs_bucket.name, "platform", gcs_client)
    first = plan_batches(source, bucket, batch_size=3)
    rows = [ingest(source, bucket, images_of(read_listing(bucket), batch)) for batch in first.batches]
    assert [len(batch) for batch in rows] == [3, 1]
    assert list(bucket.keys("data/")) == sorted(f"data/{path}" for path in LISTED)
    gcs_bucket.blob(f"{PREFIX}/Training/glioma/a.jpg").upload_from_string(distinct_jpeg(9))
    second = plan_batches(source, bucket, batch_size=3)
    assert (second.new_images, second.removed_images) == (1, 1)
    (image,) = images_of(read_listing(bucket), second.batches[-1])
    ingest(source, bucket, [image])
    assert bucket.read("data/Training/glioma/a.jpg") == distinct_jpeg(9)


def test_the_resource_opens_it_with_the_environments_client(source, gcs_bucket, gcs_url, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_url)
    resource = SourceResource(uri=f"gs://{gcs_bucket.name}/{PREFIX}", max_undecodable_share=0.0, batch_size=10)
    assert resource.open().list() == source.list()
