from pathlib import Path

import pytest

from brain_assets.ml.phantoms import sample_paths
from brain_assets.ml.sources import FolderSource, SampleSource, SourceImage, open_source
from brain_core.errors import SourceClassUnknown, SourceEmpty, SourceMissing
from brain_core.imaging import decode
from tests.fixtures_images import LISTED, distinct_jpeg, write_images

PUBLIC_FILES = (
    "Training/glioma/Tr-gl_0010.jpg",
    "Training/meningioma/Tr-meTr_0001.jpg",
    "Testing/notumor/Te-no_0010.jpg",
    "Testing/pituitary/Te-piTr_0003.jpg",
)


def test_folder_in_the_published_layout_is_listed_with_label_and_split(image_folder: Path):
    images = open_source(str(image_folder)).list()
    assert [image.path for image in images] == sorted(LISTED)
    assert images[0] == SourceImage("Testing/glioma/c.jpg", "glioma", "Testing")
    assert images[0].path_in_split == "glioma/c.jpg"


def test_folder_in_the_plain_layout_has_no_published_split(tmp_path: Path):
    source = open_source(str(write_images(tmp_path, ("notumor/x.jpg", "glioma/deep/y.png"))))
    assert source.list() == [
        SourceImage("glioma/deep/y.png", "glioma", ""),
        SourceImage("notumor/x.jpg", "notumor", ""),
    ]
    assert [image.path_in_split for image in source.list()] == ["glioma/deep/y.png", "notumor/x.jpg"]


def test_files_of_any_ending_are_listed_and_hidden_and_loose_ones_are_not(image_folder: Path):
    (image_folder / "Training/glioma/notes.txt").write_text("not an image")
    (image_folder / "Training/glioma/.DS_Store").write_text("hidden")
    (image_folder / ".cache").mkdir()
    (image_folder / "README.md").write_text("loose")
    (image_folder / "Training/annotations.csv").write_text("loose")
    paths = {image.path for image in FolderSource(image_folder).list()}
    assert paths == {*LISTED, "Training/glioma/notes.txt"}


def test_read_gives_the_bytes(image_folder: Path):
    source = FolderSource(image_folder)
    assert source.read(source.list()[0]) == (image_folder / "Testing/glioma/c.jpg").read_bytes()


@pytest.mark.parametrize(
    ("paths", "name"),
    [(PUBLIC_FILES, "public"), (LISTED, "own"), ((*PUBLIC_FILES, "Training/glioma/ward7.jpg"), "own")],
)
def test_name_tells_the_public_set_by_its_file_names(tmp_path: Path, paths: tuple[str, ...], name: str):
    assert FolderSource(write_images(tmp_path, paths)).name == name


@pytest.mark.parametrize("uri", ["missing", "file.txt", "gs://bucket/prefix"])
def test_source_that_is_not_a_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").write_text("")
    with pytest.raises(SourceMissing, match="BRAIN_SOURCE__URI"):
        open_source(uri)


def test_folder_that_vanishes_after_opening_is_missing(image_folder: Path):
    source = FolderSource(image_folder)
    image = source.list()[0]
    image_folder.rename(image_folder.with_name("moved"))
    for use in (source.list, source.fingerprint, lambda: source.read(image)):
        with pytest.raises(SourceMissing, match="cannot be read"):
            use()


@pytest.mark.parametrize("folders", [(), ("glioma", "notumor"), ("Training", "Testing"), ("Training/glioma",)])
def test_folder_without_images_is_empty(tmp_path: Path, folders: tuple[str, ...]):
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(SourceEmpty, match="glioma, meningioma, notumor, pituitary"):
        FolderSource(tmp_path).list()


@pytest.mark.parametrize("folder", ["Training/gliom", "Validation", "glioma"])
def test_unknown_folder_is_named_with_the_classes(image_folder: Path, folder: str):
    (image_folder / folder).mkdir()
    with pytest.raises(SourceClassUnknown, match=f"{folder} is not one of .*glioma, meningioma, notumor, pituitary"):
        FolderSource(image_folder).list()


def test_fingerprint_stays_while_nothing_changes(image_folder: Path):
    assert FolderSource(image_folder).fingerprint() == FolderSource(image_folder).fingerprint()


def test_fingerprint_changes_when_an_image_is_added_replaced_or_removed(image_folder: Path):
    source = FolderSource(image_folder)
    seen = {source.fingerprint()}
    added = image_folder / "Training/glioma/new.jpg"
    added.write_bytes(distinct_jpeg(7))
    seen.add(source.fingerprint())
    added.write_bytes(distinct_jpeg(8, size=80))
    seen.add(source.fingerprint())
    (image_folder / "Testing/glioma/c.jpg").unlink()
    seen.add(source.fingerprint())
    assert len(seen) == 4


def test_sample_is_listed_without_drawing_and_reads_as_images():
    source = open_source("sample")
    images = source.list()
    assert source.name == "sample"
    assert [image.path for image in images] == sorted(sample_paths(320))
    assert all(image.path == f"{image.published_split}/{image.path_in_split}" for image in images)
    assert decode(source.read(images[0])).format == "JPEG"


def test_sample_fingerprint_depends_on_what_is_drawn():
    sources = [SampleSource(), SampleSource(count=8), SampleSource(seed=1)]
    assert len({source.fingerprint() for source in sources}) == 3
    assert SampleSource().fingerprint() == SampleSource().fingerprint()


def test_sample_refuses_an_image_that_it_does_not_have():
    with pytest.raises(SourceMissing, match="sample-9999"):
        SampleSource(count=4).read(SourceImage("Training/glioma/sample-9999.jpg", "glioma", "Training"))


@pytest.mark.real_data
def test_real_folder_is_the_public_set(real_subset: FolderSource):
    assert real_subset.name == "public"
    assert {image.published_split for image in real_subset.list()} == {"Training", "Testing"}
