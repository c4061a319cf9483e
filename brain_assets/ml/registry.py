"""MLflow: runs with explicit ids, registered models with aliases.

No active run is kept anywhere: two runs in one process never mix, and every run ends as what happened to it.
"""

import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brain_core.errors import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "brain-tumor-classifier"
MODEL_NAME = "brain-tumor-classifier"
CHAMPION = "champion"
CHALLENGER = "challenger"
MAX_ROWS = 1000
"""Of what the server is asked for, or told, at a time."""


@dataclass(frozen=True)
class RecordedRun:
    """What MLflow holds of a run: the newest point of each metric, and its parameters and tags as text."""

    run_id: str
    created_at: datetime
    metrics: dict[str, float]
    params: dict[str, str]
    tags: dict[str, str]


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of the registered model; `run` is None where the run was erased."""

    version: str
    created_at: datetime
    aliases: tuple[str, ...]
    tags: dict[str, str]
    run: RecordedRun | None


class TrackedRun:
    """One MLflow run that is written to by its id."""

    def __init__(self, client: "MlflowClient", run_id: str, artifact_uri: str) -> None:
        self._client = client
        self.run_id = run_id
        self.artifact_uri = artifact_uri

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Keep what the run was started with."""
        from mlflow.entities import Param

        with translated_errors():
            self._client.log_batch(self.run_id, params=[Param(name, str(value)) for name, value in params.items()])

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Keep one point of each metric."""
        from mlflow.entities import Metric

        at_ms = int(time.time() * 1000)
        points = [Metric(name, value, at_ms, step) for name, value in metrics.items()]
        with translated_errors():
            for start in range(0, len(points), MAX_ROWS):
                self._client.log_batch(self.run_id, metrics=points[start : start + MAX_ROWS])

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Keep facts to find the run by."""
        from mlflow.entities import RunTag

        with translated_errors():
            self._client.log_batch(self.run_id, tags=[RunTag(name, value) for name, value in tags.items()])

    def log_files(self, files: Mapping[str, bytes], folder: str) -> None:
        """Keep files under `folder` among the run's artifacts."""
        with translated_errors(), tempfile.TemporaryDirectory() as temporary:
            for name, data in files.items():
                (Path(temporary) / name).write_bytes(data)
            self._client.log_artifacts(self.run_id, temporary, folder)


class ModelRegistry:
    """A client of one MLflow server.

    Args:
        uri: address of the server.
        timeout_s: seconds until it counts as away; it is asked once more before that.
    """

    def __init__(self, uri: str, timeout_s: int) -> None:
        from mlflow import MlflowClient
        from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES, MLFLOW_HTTP_REQUEST_TIMEOUT

        # MLflow's own defaults try for many minutes.
        MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(1)  # type: ignore[no-untyped-call]
        MLFLOW_HTTP_REQUEST_TIMEOUT.set(timeout_s)  # type: ignore[no-untyped-call]
        self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)

    @contextmanager
    def run(self, name: str, tags: Mapping[str, str]) -> Iterator[TrackedRun]:
        """A new run; it ends FINISHED, FAILED after an error, or KILLED after an interrupt.

        Raises:
            RegistryError: MLflow is away.
        """
        with translated_errors():
            created = self._client.create_run(self._experiment_id(), run_name=name, tags=dict(tags))
        run = self._tracked(created)
        try:
            yield run
        except Exception:
            self._end_after_fault(run, "FAILED")
            raise
        except BaseException:
            self._end_after_fault(run, "KILLED")
            raise
        self._end(run, "FINISHED")

    def existing_run(self, run_id: str) -> TrackedRun:
        """A run to add to.

        Raises:
            RegistryError: there is none, or MLflow is away.
        """
        with translated_errors():
            return self._tracked(self._client.get_run(run_id))

    def register(self, run: TrackedRun, folder: str, tags: Mapping[str, str]) -> str:
        """Make a new version of the registered model from a run's artifacts.

        Returns:
            The version's number.

        Raises:
            RegistryError: MLflow is away.
        """
        from mlflow.exceptions import MlflowException

        with translated_errors():
            try:
                self._client.create_registered_model(MODEL_NAME)
            except MlflowException as exc:
                if exc.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            source = f"{run.artifact_uri}/{folder}"
            version = self._client.create_model_version(MODEL_NAME, source, run.run_id, tags=dict(tags))
            return str(version.version)

    def set_alias(self, alias: str, version: str) -> None:
        """Let an alias (`champion`, `challenger`) point at a version.

        Raises:
            RegistryError: there is no such version, or MLflow is away.
        """
        with translated_errors():
            self._client.set_registered_model_alias(MODEL_NAME, alias, version)

    def alias_version(self, alias: str) -> str | None:
        """The version that an alias points at; None when it points nowhere.

        Raises:
            RegistryError: MLflow is away.
        """
        from mlflow.exceptions import MlflowException

        with translated_errors():
            try:
                return str(self._client.get_model_version_by_alias(MODEL_NAME, alias).version)
            except MlflowException as exc:
                if exc.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                    return None
                raise

    def run_status(self, run_id: str) -> str:
        """MLflow's own word for a run's state, such as `FINISHED`."""
        with translated_errors():
            return str(self._client.get_run(run_id).info.status)

    def _experiment_id(self) -> str:
        found = self._client.get_experiment_by_name(EXPERIMENT)
        return str(found.experiment_id) if found else str(self._client.create_experiment(EXPERIMENT))

    def _tracked(self, run: Any) -> TrackedRun:
        return TrackedRun(self._client, str(run.info.run_id), str(run.info.artifact_uri))

    def _end_after_fault(self, run: TrackedRun, status: str) -> None:
        # The fault itself is what people must see, also when MLflow is away by now.
        with suppress(RegistryError):
            self._end(run, status)

    def _end(self, run: TrackedRun, status: str) -> None:
        with translated_errors():
            self._client.set_terminated(run.run_id, status)

    def versions(self) -> list[RegisteredVersion]:
        """Every version of the registered model with its run, the newest first; empty when there is none yet.

        Raises:
            RegistryError: MLflow is away.
        """
        from mlflow.exceptions import MlflowException

        with translated_errors():
            try:
                aliases = dict(self._client.get_registered_model(MODEL_NAME).aliases)
            except MlflowException as exc:
                if exc.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return []
                raise
            found = self._client.search_model_versions(f"name = '{MODEL_NAME}'")
        runs = self._runs_of({str(version.run_id) for version in found if version.run_id})
        registered = [_registered(version, aliases, runs) for version in found]
        return sorted(registered, key=lambda version: int(version.version), reverse=True)

    def runs_with_tag(self, name: str, value: str) -> list[RecordedRun]:
        """The finished runs whose tag has this value, the newest first.

        Raises:
            RegistryError: MLflow is away.
        """
        from mlflow.entities import ViewType

        return self._found_runs(f"tags.`{name}` = '{value}' and attributes.status = 'FINISHED'", ViewType.ACTIVE_ONLY)

    def _runs_of(self, run_ids: Iterable[str]) -> dict[str, RecordedRun]:
        from mlflow.entities import ViewType

        names = ", ".join(f"'{run_id}'" for run_id in sorted(run_ids))
        found = self._found_runs(f"attributes.run_id IN ({names})", ViewType.ALL) if names else []
        return {run.run_id: run for run in found}

    def _found_runs(self, query: str, view: int) -> list[RecordedRun]:
        with translated_errors():
            found = self._client.search_runs([self._experiment_id()], query, view, max_results=MAX_ROWS)
        return [_recorded(run) for run in found]

    def set_version_tags(self, version: str, tags: Mapping[str, str]) -> None:
        """Keep facts about a version, such as what was decided about it.

        Raises:
            RegistryError: there is no such version, or MLflow is away.
        """
        with translated_errors():
            for name, value in tags.items():
                self._client.set_model_version_tag(MODEL_NAME, version, name, value)

    def delete_alias(self, alias: str) -> None:
        """Let an alias point nowhere.

        Raises:
            RegistryError: MLflow is away.
        """
        with translated_errors():
            self._client.delete_registered_model_alias(MODEL_NAME, alias)

    def files(self, run_id: str, folder: str) -> dict[str, bytes]:
        """The files that `TrackedRun.log_files` kept under `folder`, by name; none where there are none.

        Raises:
            RegistryError: there is no such run, or MLflow is away.
        """
        with translated_errors(), tempfile.TemporaryDirectory() as temporary:
            listed = self._client.list_artifacts(run_id, folder)
            paths = [item.path for item in listed if not item.is_dir]
            local = {path: self._client.download_artifacts(run_id, path, temporary) for path in paths}
            return {Path(path).name: Path(file).read_bytes() for path, file in local.items()}


def _registered(version: Any, aliases: Mapping[str, str], runs: Mapping[str, RecordedRun]) -> RegisteredVersion:
    number = str(version.version)
    return RegisteredVersion(
        version=number,
        created_at=_utc(version.creation_timestamp),
        aliases=tuple(sorted(name for name, of in aliases.items() if str(of) == number)),
        tags=dict(version.tags),
        run=runs.get(str(version.run_id)),
    )


def _recorded(run: Any) -> RecordedRun:
    data, created_at = run.data, _utc(run.info.start_time)
    return RecordedRun(str(run.info.run_id), created_at, dict(data.metrics), dict(data.params), dict(data.tags))


def _utc(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn MLflow's errors into `RegistryError`."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException

    try:
        yield
    except (MlflowException, RequestException) as exc:
        reason = str(exc).strip().splitlines()[0]
        raise RegistryError(f"MLflow did not do it: {reason} Is the server up (BRAIN_MLFLOW__URI)?") from exc
