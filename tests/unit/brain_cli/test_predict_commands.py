import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from brain_cli.main import app
from brain_cli.offline import RECORD_FIELDS
from brain_core.labels import CLASSES, NOTICE
from tests.fixtures_bundle import photograph_jpeg, slice_jpeg
from tests.fixtures_offline import bundle_folder, class_folders

BRAIN = str(Path(sys.executable).parent / "brain")
HEAVY = ("tensorflow", "keras", "dagster", "mlflow", "evidently", "matplotlib")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def lines(result: Result) -> list[dict]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def bundle(tmp_path) -> Path:
    return bundle_folder(tmp_path / "bundles")


@pytest.fixture
def folder(tmp_path) -> Path:
    return class_folders(tmp_path / "images", 2)


@pytest.fixture
def scan(tmp_path) -> Path:
    path = tmp_path / "scan.jpg"
    path.write_bytes(slice_jpeg("glioma"))
    return path


@pytest.fixture
def many(tmp_path, scan) -> Path:
    """A folder with more images than fit into a pipe as JSON."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(600):
        (folder / f"{number:03d}.jpg").symlink_to(scan)
    return folder


def test_json_is_one_line_an_image_in_order(folder, bundle):
    result = run("predict", folder, "--json", "--bundle", bundle)
    assert result.exit_code == 0
    records = lines(result)
    assert [record["path"] for record in records] == [f"{folder}/{c}/{i}.jpg" for c in CLASSES for i in range(2)]
    assert [record["predicted_class"] for record in records] == [c for c in CLASSES for _ in range(2)]
    assert {tuple(record) for record in records} == {RECORD_FIELDS}


def test_standard_error_says_which_model_answers_and_the_notice(scan, bundle):
    result = run("predict", scan, "--json", "--bundle", bundle)
    assert result.stderr.startswith(f"Model: version 7, of the folder {bundle}. {NOTICE}")


def test_the_champion_answers_without_a_bundle(scan, champion_bucket, monkeypatch):
    monkeypatch.setenv("BRAIN_BUCKET__URI", str(champion_bucket.root))
    result = run("predict", scan)
    assert result.exit_code == 0
    assert f"version 1, the champion of {champion_bucket.root}" in result.stderr


def test_without_json_there_are_lines_and_a_summary(folder, bundle):
    (folder / "photograph.jpg").write_bytes(photograph_jpeg())
    result = run("predict", folder, "--bundle", bundle)
    assert result.exit_code == 0
    printed = result.stdout.splitlines()
    assert printed[0].split() == ["class", "confidence", "image"]
    (glioma,) = [line for line in printed if line.endswith("glioma/0.jpg")]
    assert glioma.split()[0] == "glioma"
    (refused,) = [line for line in printed if "photograph.jpg: " in line]
    assert refused.split()[2] == "refused"
    assert printed[-1].startswith("9 images: glioma 2, meningioma 2, notumor 2, pituitary 2;")


def test_what_cannot_be_read_is_reported_and_does_not_stop_the_rest(folder, bundle):
    bad, gone = folder / "glioma/0.jpg", folder / "gone.jpg"
    bad.write_text("no image")
    result = run("predict", gone, folder, "--json", "--bundle", bundle)
    assert result.exit_code == 1
    unread = [record for record in lines(result) if "error" in record]
    assert [(set(record), record["path"]) for record in unread] == [
        ({"path", "error"}, str(gone)),
        ({"path", "error"}, str(bad)),
    ]
    assert len(lines(result)) == 9
    assert f"{bad}: The content is neither JPEG nor PNG" in result.stderr
    assert f"{gone}: It cannot be read" in result.stderr


def test_an_empty_folder_among_others_is_said_and_no_error(scan, bundle, tmp_path):
    (tmp_path / "empty").mkdir()
    result = run("predict", tmp_path / "empty", scan, "--bundle", bundle)
    assert result.exit_code == 0
    assert f"{tmp_path}/empty holds no JPEG or PNG image." in result.stderr


def test_nothing_found_is_exit_code_2(bundle, tmp_path):
    (tmp_path / "empty").mkdir()
    result = run("predict", tmp_path / "empty", tmp_path / "gone.jpg", "--json", "--bundle", bundle)
    assert result.exit_code == 2
    assert "No image was found" in result.stderr
    assert [record["path"] for record in lines(result)] == [f"{tmp_path}/gone.jpg"]


@pytest.mark.parametrize("arguments", [("predict",), ("evaluate",), ("explain", "scan.jpg"), ("predict", "--no", "x")])
def test_wrong_use_is_exit_code_2(arguments):
    assert run(*arguments).exit_code == 2


def test_no_usable_model_is_a_sentence_and_exit_code_2(scan, tmp_path):
    for command in (("predict", scan), ("explain", scan, "-o", tmp_path / "map.png")):
        result = run(*command, "--bundle", tmp_path)
        assert result.exit_code == 2
        assert result.stderr.startswith(f"There is no bundle {tmp_path}")


def test_an_altered_bundle_is_refused(scan, bundle):
    (bundle / "model.onnx").write_bytes(b"another model")
    result = run("predict", scan, "--bundle", bundle)
    assert result.exit_code == 2
    assert "sha256 differs" in result.stderr


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no names that are not UTF-8")
def test_a_name_that_is_not_utf_8_is_predicted_and_printed(tmp_path, bundle):
    (tmp_path / "odd").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/odd/sc\xe4n.jpg")).write_bytes(slice_jpeg("glioma"))
    result = run("predict", tmp_path / "odd", "--json", "--bundle", bundle)
    assert result.exit_code == 0
    assert [record["path"] for record in lines(result)] == [f"{tmp_path}/odd/sc\\xe4n.jpg"]


def test_nothing_heavy_is_imported(folder, bundle, scan, tmp_path):
    code = f"""
import sys
from brain_cli.main import app
app({["predict", str(folder), "--bundle", str(bundle)]!r}, standalone_mode=False)
app({["explain", str(scan), "-o", str(tmp_path / "map.png"), "--bundle", str(bundle)]!r}, standalone_mode=False)
without_tables = [name for name in ("pandas", "scipy") if name in sys.modules]
app({["evaluate", str(folder), "--bundle", str(bundle)]!r}, standalone_mode=False)
heavy = [name for name in {HEAVY!r} if name in sys.modules]
sys.exit(f"{{without_tables}} {{heavy}}")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.stderr.splitlines()[-1] == "[] []"
    assert "9 images" not in result.stdout
    assert "8 images" in result.stdout


def test_a_reader_that_goes_away_ends_it_in_silence(many, bundle):
    command = [BRAIN, "predict", str(many), "--json", "--bundle", str(bundle)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        first = process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
    assert json.loads(first)["path"] == f"{many}/000.jpg"
    assert process.returncode == 141
    assert said.splitlines() == [f"Model: version 7, of the folder {bundle}. {NOTICE}"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_in_order(many, bundle, number, code):
    command = [BRAIN, "predict", str(many), "--json", "--bundle", str(bundle)]
    # Unbuffered, so that nothing beyond the first line is read; the rest fills the pipe, so that it cannot have ended.
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as process:
        first = process.stdout.readline()
        process.send_signal(number)
        try:
            rest, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == code
    assert said.decode().splitlines()[1:] == ["Stopped."]
    records = [json.loads(line) for line in (first + rest).splitlines()]
    assert 0 < len(records) < 600
    assert all(record["is_valid"] for record in records)


def test_evaluate_prints_one_json_object(folder, bundle):
    (folder / "notumor/bad.jpg").write_text("no image")
    result = run("evaluate", folder, "--json", "--bundle", bundle)
    assert result.exit_code == 1
    (figures,) = lines(result)
    assert figures["accuracy"]["value"] == 1.0
    assert figures["unreadable"] == 1
    assert figures["confusion"] == [[2 if row == column else 0 for column in range(4)] for row in range(4)]
    assert {"balanced_accuracy", "macro_f1", "ece", "by_class", "accepted_by_gate", "warning"} <= set(figures)
    assert f"{folder}/notumor/bad.jpg: The content is neither" in result.stderr


def test_evaluate_shows_tables_and_the_warning(folder, bundle):
    result = run("evaluate", folder, "--bundle", bundle)
    assert result.exit_code == 0
    assert "balanced accuracy" in result.stdout
    assert result.stdout.splitlines()[-1] == f"0 images could not be read. {NOTICE}"
    assert "does not say which images it was trained on" in result.stderr


def test_evaluate_names_the_classes_when_a_folder_is_none(folder, bundle):
    (folder / "healthy").mkdir()
    result = run("evaluate", folder, "--bundle", bundle)
    assert result.exit_code == 2
    assert "healthy is not one of the classes glioma, meningioma, notumor, pituitary" in result.stderr


def test_explain_writes_a_picture(scan, bundle, tmp_path):
    result = run("explain", scan, "-o", tmp_path / "map.png", "--bundle", bundle)
    assert (result.exit_code, result.stdout) == (0, f"Written: {tmp_path}/map.png\n")
    with Image.open(tmp_path / "map.png") as picture:
        assert picture.format == "PNG"
        assert picture.height > picture.width == 512
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_explain_replaces_an_older_picture(scan, bundle, tmp_path):
    (tmp_path / "map.png").write_text("older")
    assert run("explain", scan, "-o", tmp_path / "map.png", "--bundle", bundle).exit_code == 0
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("way", ["the file itself", "a link to it"])
def test_explain_never_overwrites_the_image(bundle, tmp_path, way):
    image = tmp_path / "scan.png"
    image.write_bytes(slice_jpeg("glioma"))
    picture = image
    if way == "a link to it":
        picture = tmp_path / "map.png"
        picture.symlink_to(image)
    result = run("explain", image, "-o", picture, "--bundle", bundle)
    assert result.exit_code == 2
    assert "the image itself" in " ".join(result.stderr.replace("│", " ").split())
    assert image.read_bytes() == slice_jpeg("glioma")


@pytest.mark.parametrize(
    ("name", "message"),
    [("map.jpg", "does not end in .png"), ("no/map.png", "There is no folder"), ("folder.png", "is a folder")],
)
def test_explain_refuses_a_picture_that_cannot_be_one(scan, bundle, tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    result = run("explain", scan, "-o", name, "--bundle", bundle)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_explain_says_that_the_image_cannot_be_read(bundle, tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    result = run("explain", tmp_path / "text.jpg", "-o", tmp_path / "map.png", "--bundle", bundle)
    assert result.exit_code == 1
    assert f"{tmp_path}/text.jpg: The content is neither JPEG nor PNG" in result.stderr
    assert not (tmp_path / "map.png").exists()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder in which nobody can write")
def test_explain_says_that_the_picture_cannot_be_written(scan, bundle):
    result = run("explain", scan, "-o", "/proc/map.png", "--bundle", bundle)
    assert result.exit_code == 1
    assert "/proc/map.png: The picture cannot be written: " in result.stderr


def test_explain_shows_a_refused_image_too(bundle, tmp_path):
    (tmp_path / "photograph.jpg").write_bytes(photograph_jpeg())
    assert run("explain", tmp_path / "photograph.jpg", "-o", tmp_path / "map.png", "--bundle", bundle).exit_code == 0
    assert (tmp_path / "map.png").exists()
