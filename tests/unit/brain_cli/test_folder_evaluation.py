import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from brain_cli.folder_evaluation import SUBSETS, evaluation, find_labelled, summary
from brain_cli.offline import open_model
from brain_core.errors import SourceClassUnknown, SourceEmpty, SourceMissing
from brain_core.imaging import encode_jpeg
from brain_core.labels import CLASSES
from brain_core.settings import load_settings
from tests.fixtures_bundle import photograph_jpeg, slice_jpeg
from tests.fixtures_images import distinct_pixels
from tests.fixtures_offline import bundle_folder, class_folders, gate_that_knows, split_of


def figures_of(folder, bundle):
    model, found = open_model(load_settings(), bundle), find_labelled(folder)
    results = [summary(judged, found.labels) for judged in model.judge_files(list(found.labels))]
    return evaluation(model, folder, [*found.unreadable, *results])


@pytest.fixture
def folder(tmp_path):
    return class_folders(tmp_path / "images")


def test_files_get_the_class_of_their_folder(folder):
    (folder / "glioma/deep").mkdir()
    (folder / "glioma/deep/x.png").write_bytes(b"")
    (folder / "README.txt").write_text("not an image")
    (folder / ".cache").mkdir()
    found = find_labelled(folder)
    assert found.labels[str(folder / "glioma/deep/x.png")] == "glioma"
    assert sorted(set(found.labels.values())) == sorted(CLASSES)
    assert len(found.labels) == 13


def test_a_folder_that_is_no_class_is_an_error_that_names_the_classes(folder):
    (folder / "astrocytoma").mkdir()
    with pytest.raises(SourceClassUnknown, match=r"astrocytoma is not one of the classes glioma, meningioma, notumor"):
        find_labelled(folder)


def test_published_splits_are_not_mistaken_for_classes(folder):
    (folder.parent / "all").mkdir()
    folder.rename(folder.parent / "all" / "Testing")
    with pytest.raises(SourceClassUnknown, match="name the folder that holds the class folders"):
        find_labelled(folder.parent / "all")


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(SourceMissing, match="No such file or directory"):
        find_labelled(tmp_path / "nothing")


def test_class_folders_without_images_are_an_error(tmp_path):
    (tmp_path / "glioma").mkdir()
    with pytest.raises(SourceEmpty, match="no JPEG or PNG"):
        find_labelled(tmp_path)


def test_images_of_which_none_can_be_read_are_an_error(tmp_path):
    (tmp_path / "images/glioma").mkdir(parents=True)
    (tmp_path / "images/glioma/a.jpg").write_text("no image")
    with pytest.raises(SourceEmpty, match="None of the 1 images"):
        figures_of(tmp_path / "images", bundle_folder(tmp_path / "bundles"))


def test_the_figures_are_those_of_the_images(folder, tmp_path):
    shutil.copy(folder / "pituitary/0.jpg", folder / "glioma/wrong.jpg")
    (folder / "notumor/photograph.jpg").write_bytes(photograph_jpeg())
    (folder / "notumor/text.jpg").write_text("no image")
    figures = figures_of(folder, bundle_folder(tmp_path / "bundles"))
    assert figures["images"] == 14
    assert figures["groups"] == 13  # the copy is of one group with its original
    assert figures["unreadable"] == 1
    assert figures["unreadable_files"][0]["path"] == str(folder / "notumor/text.jpg")
    assert figures["confusion"][0] == [3, 0, 0, 1]
    assert figures["by_class"]["glioma"]["recall"]["value"] == 0.75
    called_pituitary = sum(row[3] for row in figures["confusion"])
    assert figures["by_class"]["pituitary"]["precision"]["value"] == 3 / called_pituitary < 1
    assert figures["accepted_by_gate"]["value"] == pytest.approx(13 / 14)
    assert figures["accepted_by_gate"]["low"] < 13 / 14 < figures["accepted_by_gate"]["high"]
    assert figures["accuracy"]["value"] >= 12 / 14
    assert figures["model"]["version"] == "7"


def test_training_images_are_counted_and_left_out(folder, tmp_path):
    shutil.copy(folder / "pituitary/0.jpg", folder / "glioma/wrong.jpg")
    split = split_of(
        folder,
        {"glioma/0.jpg": "train", "glioma/wrong.jpg": "train", "notumor/0.jpg": "validation", "notumor/1.jpg": "test"},
    )
    # Its own gate knows nothing that looks like these slices.
    gate = gate_that_knows(distinct_pixels(3))
    figures = figures_of(folder, bundle_folder(tmp_path / "bundles", split=split, gate=gate))
    # Three files have the two training contents.
    assert figures["images_by_part"] == {"train": 3, "validation": 1, "test": 1, "unknown": 8}
    assert "3 of the 13 images were in the model's training" in figures["warning"]
    assert "1 of the 13 images were used to choose" in figures["warning"]
    assert figures["accuracy"]["value"] == pytest.approx(12 / 13)
    assert figures["without_training_images"]["images"] == 10
    assert figures["without_training_images"]["accuracy"]["value"] == 1.0
    assert figures["without_training_and_validation_images"]["images"] == 9
    assert figures["likely_copies"] == 0
    assert figures["without_likely_copies"]["images"] == 9


def test_when_all_were_training_images_nothing_is_left_to_judge(folder, tmp_path):
    split = split_of(folder, {f"{label}/{seed}.jpg": "train" for label in CLASSES for seed in range(3)})
    figures = figures_of(folder, bundle_folder(tmp_path / "bundles", split=split))
    assert figures["images_by_part"]["train"] == 12
    assert [figures[name] for name in SUBSETS] == [None, None, None]


def test_mirrored_and_encoded_copies_of_what_the_gate_knows_are_likely_copies(tmp_path):
    known, other = distinct_pixels(1), distinct_pixels(2)
    copy = np.asarray(Image.fromarray(known[::-1].T).resize((150, 150)))
    (tmp_path / "images/glioma").mkdir(parents=True)
    (tmp_path / "images/glioma/copy.jpg").write_bytes(encode_jpeg(copy, 80))
    (tmp_path / "images/glioma/other.jpg").write_bytes(encode_jpeg(other))
    gate = gate_that_knows(known)
    split = pd.DataFrame({"pixel_sha256": ["another"], "part": ["train"]})
    figures = figures_of(tmp_path / "images", bundle_folder(tmp_path / "bundles", split=split, gate=gate))
    assert figures["images_by_part"]["train"] == 0
    assert figures["likely_copies"] == 1
    assert "1 of the 2 images are likely copies" in figures["warning"]
    assert figures["without_training_images"]["images"] == 2
    assert figures["without_likely_copies"]["images"] == 1


def test_a_bundle_that_does_not_know_its_training_images_says_so(folder, tmp_path):
    for number, split in enumerate([None, pd.DataFrame({"key": ["a"], "part": ["train"]})]):
        figures = figures_of(folder, bundle_folder(tmp_path / f"bundles{number}", split=split))
        assert figures["images_by_part"] is None
        assert figures["without_training_images"] is None
        assert "does not say which images it was trained on" in figures["warning"]


def test_without_anything_known_from_training_there_is_no_warning(tmp_path):
    (tmp_path / "images/glioma").mkdir(parents=True)
    (tmp_path / "images/glioma/a.jpg").write_bytes(slice_jpeg("glioma"))
    gate = gate_that_knows(distinct_pixels(3))
    split = pd.DataFrame({"pixel_sha256": ["another"], "part": ["train"]})
    figures = figures_of(tmp_path / "images", bundle_folder(tmp_path / "bundles", split=split, gate=gate))
    assert figures["warning"] is None
    assert figures["without_likely_copies"]["images"] == 1
