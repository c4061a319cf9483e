from pathlib import Path

import pytest

from brain_cli.upgrades import BRAIN, DAGSTER, MLFLOW, Schema, read_revisions, state_of
from brain_core.errors import StartupError


def migration(folder: Path, revision: str, down: str) -> None:
    (folder / f"{revision}.py").write_text(f'raise SystemExit("imported")\nrevision: str = "{revision}"\n{down}\n')


@pytest.fixture
def folder(tmp_path):
    migration(tmp_path, "a", "down_revision = None")
    migration(tmp_path, "b", 'down_revision = "a"')
    migration(tmp_path, "c", 'down_revision = ("b",)')
    (tmp_path / "__init__.py").write_text("")
    return tmp_path


@pytest.fixture
def schema(folder, monkeypatch):
    monkeypatch.setattr("brain_cli.upgrades._package_folder", lambda package: folder.parent)
    return Schema("our tables", "brain", "ours", folder.name)


def test_migrations_are_read_without_being_run(folder):
    assert read_revisions(folder) == {"a": (), "b": ("a",), "c": ("b",)}


@pytest.mark.parametrize(("current", "state"), [([], "missing"), (["a"], "old"), (["b"], "old"), (["c"], "current")])
def test_the_state_follows_from_the_revision(schema, current, state):
    assert state_of(schema, current) == state


def test_tables_of_a_newer_version_are_refused(schema):
    with pytest.raises(StartupError, match=r"newer version wrote our tables: .* revision d.* BRAIN_HOME"):
        state_of(schema, ["d"])


@pytest.mark.parametrize("schema", [BRAIN, MLFLOW, DAGSTER], ids=lambda schema: schema.database)
def test_the_migrations_of_each_part_are_found_and_end_in_one(schema):
    known = schema.revisions()
    parents = {parent for parents in known.values() for parent in parents}
    assert parents <= known.keys()
    assert len(known.keys() - parents) == 1


def test_a_package_that_is_not_there_says_what_to_do():
    with pytest.raises(StartupError, match="make install"):
        Schema("no tables", "none", "no_such_package", "versions").revisions()
