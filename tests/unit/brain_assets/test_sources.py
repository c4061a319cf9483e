import io
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pandas as pd
import pytest

from brain_assets.ml.phantoms import sample_paths
from brain_assets.ml.sources import FolderSource, SampleSource, SourceImage, fingerprint, open_source
from brain_core.errors import SourceClassUnknown, SourceEmpty, SourceMissing, SourceNameInvalid
from brain_core.imaging import decode
from tests.fixtures_images import LISTED, distinct_jpeg, write_images

PUBLIC_FILES = (
    "Training/glioma/Tr-gl_0010.jpg",
    "Training/meningioma/Tr-meTr_0001.jpg",
    "Testing/notumor/Te-no_0010.jpg",
    "Testing/pituitary/Te-piTr_0003.jpg",
)


Strangers = Callable[[Path], AbstractContextManager[None]]


@pytest.fixture
def as_a_stranger(tmp_path: Path) -> Strangers:
    """Lock a file or folder, and be a user who may not open it, also where the tests run as root."""

    @contextmanager
    def locked(path: Path) -> Iterator[None]:
        for folder in (tmp_path, *list(tmp_path.parents)[:2]):
            folder.chmod(0o755)
        path.chmod(0)
        user = os.geteuid()
        os.seteuid(65534 if user == 0 else user)
        try:
            yield
        finally:
            os.seteuid(user)
            path.chmod(0o755)

    return locked


def test_folder_in_the_published_layout_is_listed_with_label_and_split(image_folder: Path):
    images = open_source(str(image_folder)).list()
    assert [image.path for image in images] == sorted(LISTED)
    assert images[0] == SourceImage("Testing/glioma/c.jpg", "glioma", "Testing", images[0].mark)
    assert images[0].path_in_split == "glioma/c.jpg"


def test_folder_in_the_plain_layout_has_no_published_split(tmp_path: Path):
    source = open_source(str(write_images(tmp_path, ("notumor/x.jpg", "glioma/deep/y.png"))))
    assert [(image.path, image.label, image.published_split) for image in source.list()] == [
        ("glioma/deep/y.png", "glioma", ""),
        ("notumor/x.jpg", "notumor", ""),
    ]
    assert [image.path_in_split for image in source.list()] == ["glioma/deep/y.png", "notumor/x.jpg"]


def test_files_of_any_ending_are_listed_and_hidden_and_loose_ones_are_not(image_folder: Path):
    (image_folder / "Training/glioma/notes.txt").write_text("not an image")
    (image_folder / "Training/glioma/.DS_Store").write_text("hidden")
    (image_folder / ".cache").mkdir()
    write_images(image_folder, ("Training/glioma/.thumbnails/a.jpg",))
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


@pytest.mark.parametrize("uri", ["missing", "file.txt", "s3://bucket/prefix"])
def test_source_that_is_not_a_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").write_text("")
    with pytest.raises(SourceMissing, match="BRAIN_SOURCE__URI"):
        open_source(uri)


def test_folder_that_vanishes_after_opening_is_missing(image_folder: Path):
    source = FolderSource(image_folder)
    image = source.list()[0]
    image_folder.rename(image_folder.with_name("moved"))
    for use in (source.list, lambda: fingerprint(source.list()), lambda: source.read(image)):
        with pytest.raises(SourceMissing, match="cannot be read"):
            use()


def test_image_that_vanishes_after_listing_is_named(image_folder: Path):
    source = FolderSource(image_folder)
    image = source.list()[0]
    (image_folder / image.path).unlink()
    with pytest.raises(SourceMissing, match=f"{image.path} cannot be read: No such file"):
        source.read(image)


@pytest.mark.parametrize("locked", [".", "Training", "Testing/glioma"])
def test_folder_that_may_not_be_read_says_so(image_folder: Path, as_a_stranger: Strangers, locked: str):
    source = FolderSource(image_folder)
    with as_a_stranger(image_folder / locked), pytest.raises(SourceMissing, match="may not be read: permission denied"):
        source.list()


def test_image_that_may_not_be_read_says_so(image_folder: Path, as_a_stranger: Strangers):
    source = FolderSource(image_folder)
    image = source.list()[0]
    with (
        as_a_stranger(image_folder / image.path),
        pytest.raises(SourceMissing, match=f"{image.path} may not be read: permission denied"),
    ):
        source.read(image)


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
    assert fingerprint(FolderSource(image_folder).list()) == fingerprint(FolderSource(image_folder).list())


def test_fingerprint_changes_when_an_image_is_added_replaced_or_removed(image_folder: Path):
    source = FolderSource(image_folder)
    seen = {fingerprint(source.list())}
    added = image_folder / "Training/glioma/new.jpg"
    added.write_bytes(distinct_jpeg(7))
    seen.add(fingerprint(source.list()))
    added.write_bytes(distinct_jpeg(8, size=80))
    seen.add(fingerprint(source.list()))
    (image_folder / "Testing/glioma/c.jpg").unlink()
    seen.add(fingerprint(source.list()))
    assert len(seen) == 4


def test_fingerprint_changes_with_the_annotations(image_folder: Path):
    images = FolderSource(image_folder).list()
    assert len({fingerprint(images, mark) for mark in ("", "one", "another")}) == 3
    assert fingerprint(images, "") == fingerprint(images)


def test_mark_changes_when_an_image_is_replaced_and_no_other(image_folder: Path):
    source = FolderSource(image_folder)
    before = source.list()
    (image_folder / before[1].path).write_bytes((image_folder / before[2].path).read_bytes())
    after = source.list()
    assert [image.path for image, later in zip(before, after, strict=True) if image != later] == [before[1].path]


def test_listing_reads_no_image(image_folder: Path, monkeypatch: pytest.MonkeyPatch):
    source = FolderSource(image_folder)
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} was read"))
    fingerprint(source.list())


def test_annotations_lie_in_the_folder_or_else_beside_it(image_folder: Path):
    source = FolderSource(image_folder)
    assert source.annotations() is None
    (image_folder.parent / "annotations.csv").write_bytes(b"beside")
    assert source.annotations() == b"beside"
    (image_folder / "annotations.csv").write_bytes(b"inside")
    assert source.annotations() == b"inside"


def test_annotations_beside_a_folder_given_relatively_are_found(image_folder: Path, monkeypatch: pytest.MonkeyPatch):
    (image_folder.parent / "annotations.csv").write_bytes(b"beside")
    monkeypatch.chdir(image_folder)
    assert open_source(".").annotations() == b"beside"


def test_annotations_that_may_not_be_read_are_an_error(image_folder: Path, as_a_stranger: Strangers):
    file = image_folder / "annotations.csv"
    file.write_bytes(b"")
    with as_a_stranger(file), pytest.raises(SourceMissing, match=r"annotations\.csv may not be read"):
        FolderSource(image_folder).annotations()


def test_annotations_mark_follows_the_content_and_nothing_else(image_folder: Path):
    source = FolderSource(image_folder)
    assert source.annotations_mark() == ""
    file = image_folder.parent / "annotations.csv"
    file.write_bytes(b"file,patient\n")
    first = source.annotations_mark()
    os.utime(file, (1, 1))
    assert source.annotations_mark() == first != ""
    file.write_bytes(b"file,patient\r")
    assert source.annotations_mark() not in {"", first}


def test_sample_annotations_mark_is_that_of_the_drawing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("brain_assets.ml.sources.slice_truth", lambda *_: pytest.fail("a slice was drawn"))
    assert SampleSource().annotations_mark() == SampleSource().annotations_mark() != ""
    assert SampleSource().annotations_mark() != SampleSource(seed=1).annotations_mark()


def test_sample_is_listed_without_drawing_and_reads_as_images():
    source = open_source("sample")
    images = source.list()
    assert source.name == "sample"
    assert [image.path for image in images] == sorted(sample_paths(320))
    assert all(image.path == f"{image.published_split}/{image.path_in_split}" for image in images)
    assert decode(source.read(images[0])).format == "JPEG"


def test_sample_fingerprint_depends_on_what_is_drawn():
    sources = [SampleSource(), SampleSource(count=8), SampleSource(seed=1)]
    assert len({fingerprint(source.list()) for source in sources}) == 3
    assert fingerprint(SampleSource().list()) == fingerprint(SampleSource().list())


def test_sample_marks_change_with_what_is_drawn_and_not_with_the_count():
    drawn, other_seed, fewer = (source.list() for source in (SampleSource(8), SampleSource(8, seed=1), SampleSource(4)))
    assert not {image.mark for image in drawn} & {image.mark for image in other_seed}
    assert set(fewer) < set(drawn)


def test_sample_annotations_have_every_image_and_a_box_where_a_lesion_is():
    source = SampleSource(count=16)
    table = pd.read_csv(io.BytesIO(source.annotations()))
    assert list(table["file"]) == [image.path for image in source.list()]
    assert list(table["label"]) == [image.label for image in source.list()]
    assert set(table["plane"]) <= {"axial", "coronal", "sagittal"}
    boxes = table[["x0", "y0", "x1", "y1"]]
    assert (boxes.isna().all(axis=1) == (table["label"] == "notumor")).all()
    known = boxes.dropna()
    assert ((known["x0"] < known["x1"]) & (known["y0"] < known["y1"])).all()
    assert known.to_numpy().min() >= 0
    assert known.to_numpy().max() <= 1


def test_sample_annotations_are_those_of_the_seed():
    assert SampleSource(4).annotations() == SampleSource(4).annotations() != SampleSource(4, seed=1).annotations()


def test_sample_refuses_an_image_that_it_does_not_have():
    with pytest.raises(SourceMissing, match="sample-9999"):
        SampleSource(count=4).read(SourceImage("Training/glioma/sample-9999.jpg", "glioma", "Training"))


@pytest.mark.real_data
def test_real_folder_has_annotations_beside_it():
    annotations = open_source(f"{os.environ['BRAIN_TEST_DATA']}/brain-tumor-mri").annotations()
    assert annotations is not None
    assert annotations.startswith(b"file,label,")


@pytest.mark.real_data
def test_real_folder_is_the_public_set(real_subset: FolderSource):
    assert real_subset.name == "public"
    assert {image.published_split for image in real_subset.list()} == {"Training", "Testing"}


def test_a_name_that_is_not_utf8_is_named(image_folder: Path):
    os.rename(image_folder / "Training/glioma/a.jpg", os.fsencode(image_folder / "Training/glioma") + b"/\xff.jpg")
    with pytest.raises(SourceNameInvalid, match=r"udcff\.jpg' is not UTF-8\. Rename the file"):
        FolderSource(image_folder).list()


def test_images_behind_a_linked_folder_are_listed_once(image_folder: Path, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "x.jpg").write_bytes(distinct_jpeg(3))
    (elsewhere / "back").symlink_to(image_folder / "Training/glioma")
    (image_folder / "Training/glioma/link").symlink_to(elsewhere)
    listed = [image.path for image in FolderSource(image_folder).list()]
    assert [path for path in listed if "link" in path] == ["Training/glioma/link/x.jpg"]
    assert listed.count("Training/glioma/a.jpg") == 1
