import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from brain_cli.image_files import find_images, printable, read_bounded, without_controls
from brain_core.errors import ImageTooLarge, UndecodableImage

Strangers = Callable[[Path], AbstractContextManager[None]]


def write(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def names_below(root: Path, *paths: str) -> list[str]:
    return [str(Path(file).relative_to(root)) for file in find_images(paths or [str(root)]).files]


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


def test_a_folder_means_the_images_below_it_in_order(tmp_path):
    write(tmp_path, "b.JPG", "a.png", "deep/er/c.jpeg", "notes.txt", ".hidden.jpg", ".cache/d.jpg")
    assert names_below(tmp_path) == ["a.png", "b.JPG", "deep/er/c.jpeg"]


def test_a_file_is_taken_whatever_its_name(tmp_path):
    write(tmp_path, "scan", ".hidden.jpg")
    assert names_below(tmp_path, f"{tmp_path}/scan", f"{tmp_path}/.hidden.jpg") == ["scan", ".hidden.jpg"]


def test_a_pattern_finds_images_and_folders_of_them(tmp_path):
    write(tmp_path, "one/a.jpg", "two/deep/b.jpg", "two/c.txt")
    assert names_below(tmp_path, f"{tmp_path}/**/*.jpg") == ["one/a.jpg", "two/deep/b.jpg"]
    assert names_below(tmp_path, f"{tmp_path}/tw*") == ["two/deep/b.jpg"]


def test_a_file_named_like_a_pattern_is_that_file(tmp_path):
    write(tmp_path, "scan[1].jpg", "scan1.jpg")
    assert names_below(tmp_path, f"{tmp_path}/scan[1].jpg") == ["scan[1].jpg"]


def test_each_file_is_found_once_however_often_it_is_named(tmp_path):
    write(tmp_path, "a.jpg", "deep/b.jpg")
    paths = [f"{tmp_path}/deep/b.jpg", str(tmp_path), f"{tmp_path}/deep/../a.jpg"]
    assert sorted(names_below(tmp_path, *paths)) == ["a.jpg", "deep/b.jpg"]


def test_links_to_folders_are_followed_once_also_in_a_circle(tmp_path):
    write(tmp_path, "scans/a.jpg", "elsewhere/b.jpg")
    (tmp_path / "scans/back").symlink_to(tmp_path / "scans")
    (tmp_path / "scans/more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "scans/again").symlink_to(tmp_path / "elsewhere")
    assert names_below(tmp_path, f"{tmp_path}/scans") == ["scans/a.jpg", "scans/again/b.jpg"]


def test_what_is_not_there_is_reported(tmp_path):
    found = find_images([f"{tmp_path}/nothing.jpg"])
    assert [(problem.path, problem.error) for problem in found.unreadable] == [
        (f"{tmp_path}/nothing.jpg", "It cannot be read: No such file or directory.")
    ]
    assert (found.files, found.empty) == ([], [])


def test_a_link_that_leads_only_to_itself_is_reported(tmp_path):
    (tmp_path / "circle.jpg").symlink_to(tmp_path / "circle.jpg")
    (problem,) = find_images([f"{tmp_path}/circle.jpg"]).unreadable
    assert "symbolic links" in problem.error


def test_folders_and_patterns_without_images_are_named(tmp_path):
    write(tmp_path, "full/a.jpg", "texts/b.txt")
    found = find_images([f"{tmp_path}/texts", f"{tmp_path}/full", f"{tmp_path}/*.png"])
    assert found.empty == [f"{tmp_path}/texts", f"{tmp_path}/*.png"]
    assert len(found.files) == 1
    assert found.unreadable == []


def test_a_folder_that_may_not_be_read_is_reported_and_the_others_are_read(tmp_path, as_a_stranger):
    write(tmp_path, "a/1.jpg", "b/2.jpg", "c/3.jpg")
    with as_a_stranger(tmp_path / "b"):
        found = find_images([str(tmp_path)])
    assert [Path(file).name for file in found.files] == ["1.jpg", "3.jpg"]
    (problem,) = found.unreadable
    assert (problem.path, problem.error) == (f"{tmp_path}/b", "The folder cannot be read: Permission denied.")


def test_a_named_folder_that_may_not_be_read_is_not_called_empty(tmp_path, as_a_stranger):
    write(tmp_path, "b/2.jpg")
    with as_a_stranger(tmp_path / "b"):
        found = find_images([f"{tmp_path}/b"])
    assert len(found.unreadable) == 1
    assert found.empty == []


def test_bytes_are_read_up_to_the_limit(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"12345")
    assert read_bounded(f"{tmp_path}/a.jpg", 5) == b"12345"
    with pytest.raises(ImageTooLarge, match="The file has 5 bytes; at most 4 are accepted"):
        read_bounded(f"{tmp_path}/a.jpg", 4)


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    assert stat.S_ISFIFO((tmp_path / "pipe.jpg").stat().st_mode)
    with pytest.raises(UndecodableImage, match="not a file"):
        read_bounded(f"{tmp_path}/pipe.jpg", 10)


def test_a_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(UndecodableImage, match=r"cannot be read: No such file or directory\."):
        read_bounded(f"{tmp_path}/gone.jpg", 10)


def test_a_file_that_may_not_be_read_is_a_sentence(tmp_path, as_a_stranger):
    write(tmp_path, "a.jpg")
    with as_a_stranger(tmp_path / "a.jpg"), pytest.raises(UndecodableImage, match="Permission denied"):
        read_bounded(f"{tmp_path}/a.jpg", 10)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no names that are not UTF-8")
def test_a_name_that_is_not_utf_8_is_found_and_can_be_printed(tmp_path):
    path = os.fsencode(tmp_path) + b"/sc\xe4n.jpg"
    Path(os.fsdecode(path)).write_bytes(b"x")
    (file,) = find_images([str(tmp_path)]).files
    assert os.fsencode(file) == path
    assert printable(file) == f"{tmp_path}/sc\\xe4n.jpg"
    assert read_bounded(file, 10) == b"x"


def test_control_characters_of_a_name_do_not_reach_the_terminal():
    assert without_controls("a\x1b[31m\nü.jpg") == "a\\x1b[31m\\nü.jpg"
