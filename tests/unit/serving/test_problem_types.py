from pathlib import Path

import pytest

import brain_core.errors
from brain_core.errors import BrainError, DatabaseError, ObjectNotFound, UndecodableImage
from serving.problem_types import ALL_PROBLEM_TYPES, problem_type

DOCUMENT = Path(__file__).parents[3] / "docs" / "problems.md"


def test_the_document_lists_every_problem_type_as_it_is():
    rows = [line.strip("| ").split(" | ") for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(
        [f"`{kind.uri}`", str(kind.status), kind.title, kind.meaning, kind.action] for kind in ALL_PROBLEM_TYPES
    )


def test_no_two_problem_types_share_a_name():
    assert len({kind.slug for kind in ALL_PROBLEM_TYPES}) == len(ALL_PROBLEM_TYPES)


@pytest.mark.parametrize(
    ("error", "slug"),
    [
        (UndecodableImage, "invalid-image"),
        (ObjectNotFound, "storage-unavailable"),
        (DatabaseError, "database-unavailable"),
        (ZeroDivisionError, "internal-error"),
    ],
)
def test_an_error_has_the_type_of_its_nearest_listed_base(error, slug):
    assert problem_type(error).slug == slug


def test_every_error_of_ours_has_a_type():
    errors = [e for e in vars(brain_core.errors).values() if isinstance(e, type) and issubclass(e, BrainError)]
    assert all(problem_type(error).status >= 400 for error in errors)
