"""Brings the databases of an older BRAIN_HOME up to date, and refuses those that a newer version wrote."""

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, inspect, text

from brain_cli.part_logs import PartLog
from brain_cli.parts import ROOT
from brain_core.database import translated_errors, upgrade_database
from brain_core.errors import StartupError
from brain_core.settings import child_environment, sqlalchemy_url


@dataclass(frozen=True)
class Schema:
    """The tables of one database.

    Attributes:
        title: whose they are, for messages.
        database: name of the database.
        package: the package that carries the migrations.
        folder: where in the package.
    """

    title: str
    database: str
    package: str
    folder: str

    def revisions(self) -> dict[str, tuple[str, ...]]:
        """Each migration that this version knows, with those it builds upon; read without importing the package."""
        return read_revisions(_package_folder(self.package) / self.folder)


BRAIN = Schema("the product's tables", "brain", "brain_core", "migrations/versions")
MLFLOW = Schema("MLflow's tables", "mlflow", "mlflow", "store/db_migrations/versions")
DAGSTER = Schema("Dagster's tables", "dagster", "dagster", "_core/storage/alembic/versions")


@dataclass(frozen=True)
class Upgrades:
    """What an upgrade needs.

    Attributes:
        urls: the PostgreSQL URL of each database.
        environment: variables of the platform's processes.
        log_folder: where the programs that upgrade write to.
        say: told each step in words.
    """

    urls: Mapping[str, str]
    environment: Mapping[str, str]
    log_folder: Path
    say: Callable[[str], None]

    def upgrade_all(self) -> None:
        """Refuse what a newer version wrote, then upgrade what an older one wrote, and make the product's own tables.

        Raises:
            StartupError: a newer version wrote a database (then nothing was changed), or an upgrade failed.
            DatabaseError: PostgreSQL went away.
        """
        self.refuse_newer()
        self.upgrade_dagster()
        self.upgrade_mlflow()
        self.upgrade_brain()

    def refuse_newer(self) -> None:
        """Look at all databases before anything is changed.

        Raises:
            StartupError: a newer version wrote one of them.
        """
        for schema in (BRAIN, MLFLOW, DAGSTER):
            self._state(schema)

    def upgrade_dagster(self) -> None:
        """Upgrade Dagster's tables when an older version wrote them; Dagster makes missing ones itself."""
        if self._state(DAGSTER) == "old":
            self.say("Upgrading Dagster's tables")
            self._run("dagster-upgrade", (sys.executable, "-m", "dagster", "instance", "migrate"))

    def upgrade_mlflow(self) -> None:
        """Upgrade MLflow's tables when an older version wrote them; MLflow makes missing ones itself."""
        if self._state(MLFLOW) == "old":
            self.say("Upgrading MLflow's tables")
            url = sqlalchemy_url(self.urls["mlflow"])
            self._run("mlflow-upgrade", (sys.executable, "-m", "mlflow", "db", "upgrade", url))

    def upgrade_brain(self) -> None:
        """Make or upgrade the product's own tables."""
        state = self._state(BRAIN)
        if state == "old":
            self.say("Upgrading the product's tables")
        if state != "current":
            upgrade_database(sqlalchemy_url(self.urls["brain"]))

    def _state(self, schema: Schema) -> str:
        with translated_errors():
            current = _current_revisions(sqlalchemy_url(self.urls[schema.database]))
        return state_of(schema, current)

    def _run(self, name: str, command: tuple[str, ...]) -> None:
        log = PartLog(self.log_folder / f"{name}.log")
        environment = child_environment(**self.environment)
        with log.open() as output:
            code = subprocess.call(
                command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        if code != 0:
            raise StartupError(f"{name} failed with code {code}. Its last lines:\n{log.last_lines()}")


def state_of(schema: Schema, current: Iterable[str]) -> str:
    """How tables stand to this version of the program.

    Args:
        schema: whose tables.
        current: the revisions that the database is at; none when it has no tables.

    Returns:
        `missing`, `current` or `old`.

    Raises:
        StartupError: a newer version wrote them.
    """
    known = schema.revisions()
    unknown = sorted(set(current) - known.keys())
    if unknown:
        raise StartupError(
            f"A newer version wrote {schema.title}: this one does not know their revision {unknown[0]}. "
            "Run the newer version again, or let BRAIN_HOME name another folder."
        )
    heads = known.keys() - {parent for parents in known.values() for parent in parents}
    if not set(current):
        return "missing"
    return "current" if heads == set(current) else "old"


def read_revisions(folder: Path) -> dict[str, tuple[str, ...]]:
    """Each Alembic migration in a folder, with those it builds upon."""
    revisions = {}
    for path in folder.glob("*.py"):
        values = _constants(ast.parse(path.read_text(encoding="utf-8")))
        if "revision" in values:
            parents = values.get("down_revision") or ()
            revisions[str(values["revision"])] = (parents,) if isinstance(parents, str) else tuple(parents)
    return revisions


def _constants(module: ast.Module) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for node in module.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {target.id for target in targets if isinstance(target, ast.Name)}
            found |= {name: ast.literal_eval(node.value) for name in names & {"revision", "down_revision"}}
    return found


def _current_revisions(url: str) -> list[str]:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return []
            return list(connection.scalars(text("SELECT version_num FROM alembic_version")))
    finally:
        engine.dispose()


def _package_folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise StartupError(f"{package} is not installed. Run `make install`.")
    return Path(spec.submodule_search_locations[0])
