"""Starts Dagster runs and follows them over Dagit's GraphQL."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx

from brain_core.errors import StartupError
from brain_core.storage import Bucket

LOCATION = "brain_assets"
REPOSITORY = "__repository__"
_REPOSITORY = {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY}
FINAL_STATES = frozenset({"SUCCESS", "FAILURE", "CANCELED"})

_LAUNCH = """
mutation($selector: JobOrPipelineSelector!) {
  launchRun(executionParams: {selector: $selector, mode: "default", runConfigData: {}}) {
    __typename
    ... on LaunchRunSuccess { run { id } }
    ... on PythonError { message }
  }
}"""
_LOCATIONS = """
{ workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError {
    __typename ... on PythonError { message } } } } } }"""
_RUN = """
query($id: ID!) { runOrError(runId: $id) { ... on Run {
    status stepStats { stepKey status } } } }"""
_JOB = """
query($id: ID!) { runOrError(runId: $id) { ... on Run {
    jobName stepKeysToExecute executionPlan { steps { key } } } } }"""
_RUNS = """
query($filter: RunsFilter!, $limit: Int) { runsOrError(filter: $filter, limit: $limit) { ... on Runs { results {
    runId startTime endTime stepKeysToExecute } } } }"""
_CANCEL = """
mutation($ids: [String!]!) { terminateRuns(runIds: $ids, terminatePolicy: MARK_AS_CANCELED_IMMEDIATELY) {
    __typename } }"""
_MESSAGES = """
query($id: ID!, $cursor: String) { logsForRun(runId: $id, afterCursor: $cursor) { ... on EventConnection {
    cursor events { ... on LogMessageEvent { message } } } } }"""
_FAILURE = """
query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
    ... on ExecutionStepFailureEvent { stepKey error { message causes { message } } }
    ... on RunFailureEvent { message } } } } }"""
_TICKS = """
query($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) { ... on Sensor {
    sensorState { ticks(limit: 100, statuses: [SUCCESS, SKIPPED, FAILURE]) {
        timestamp runIds skipReason error { message } } } } } }"""
_CURSOR = """
query($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) { ... on Sensor {
    sensorState { typeSpecificData { ... on SensorData { lastCursor } } } } } }"""
_DRY_RUN = """
mutation($selector: SensorSelector!, $cursor: String) { sensorDryRun(selectorData: $selector, cursor: $cursor) {
    ... on DryRunInstigationTick { evaluationResult {
        cursor skipReason error { message } runRequests { runKey }
        dynamicPartitionsRequests { partitionKeys } } } } }"""
_ASSETS = """
{ assetNodes { assetKey { path } groupName isPartitioned isMaterializable staleStatus
    assetMaterializations(limit: 1) { metadataEntries { label ... on TextMetadataEntry { text } } }
    dependedByKeys { path }
    assetChecksOrError { ... on AssetChecks { checks { name blocking
      executionForLatestMaterialization { status } } } } } }"""
UNFINISHED_STATES = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")
UNDECIDED_STATES = ("EXECUTION_FAILED", "SKIPPED")
"""Of a check that was to run and found out nothing."""

TIMEOUT_S = 90.0
"""More than Dagster gives a sensor in a dry run, so that Dagster's own answer is heard."""


@dataclass(frozen=True)
class RunProgress:
    """How far a run is.

    Attributes:
        status: Dagster's own word, such as `STARTED` or `SUCCESS`.
        done: steps that ended well.
        current: steps that run now.
    """

    status: str
    done: int
    current: tuple[str, ...]

    @property
    def is_final(self) -> bool:
        """Will nothing more happen?"""
        return self.status in FINAL_STATES


@dataclass(frozen=True)
class ExpectedRun:
    """What is known of a run beforehand.

    Attributes:
        steps: how many there are.
        seconds: how long the newest successful run of the same job and steps took; None when there is none.
    """

    steps: int
    seconds: float | None


@dataclass(frozen=True)
class SensorTick:
    """What a sensor did in one look, or in several.

    Attributes:
        run_ids: runs that it started, the oldest first.
        skip_reason: why it started none in the newest look.
        error: why the newest look failed; empty when it did not.
    """

    run_ids: tuple[str, ...]
    skip_reason: str
    error: str


@dataclass(frozen=True)
class AssetState:
    """What is known of one asset.

    Attributes:
        name: the asset's key.
        is_materialized: there is a materialisation.
        failed_checks: names of its checks that did not pass; blocking ones are marked with `(blocking)`.
        missing_checks: names of its checks that have not been run.
        group: name of its group.
        is_stale: it is missing, or what it is made from changed since.
        is_partitioned: it is made batch by batch.
        is_materializable: it is made here, not only observed.
        downstream: names of the assets that are made from it.
        value_key: key of its newest value in the bucket; empty when it keeps none there.
    """

    name: str
    is_materialized: bool
    failed_checks: tuple[str, ...] = ()
    missing_checks: tuple[str, ...] = ()
    group: str = ""
    is_stale: bool = False
    is_partitioned: bool = False
    is_materializable: bool = True
    downstream: tuple[str, ...] = ()
    value_key: str = ""

    @property
    def needs_run(self) -> bool:
        """Is it missing, out of date, unverified, or did a blocking check fail?"""
        is_refused = any("(blocking)" in name for name in self.failed_checks)
        return not self.is_materialized or self.is_stale or bool(self.missing_checks) or is_refused


class DagsterClient:
    """Talks to one Dagster web server.

    Args:
        url: address of Dagit.
        bucket: where assets keep their values; when given, an asset whose value is not there counts as missing.
    """

    def __init__(self, url: str, bucket: Bucket | None = None) -> None:
        self._bucket = bucket
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False)

    def wait_for_code(self, timeout_s: float = 120.0) -> None:
        """Wait until Dagster has loaded the assets.

        Raises:
            StartupError: they cannot be loaded; with Dagster's reason.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for entry in self._query(_LOCATIONS)["workspaceOrError"].get("locationEntries", []):
                loaded = entry["locationOrLoadError"] or {}
                if loaded.get("__typename") == "PythonError":
                    raise StartupError(f"Dagster cannot load the assets: {loaded['message']}")
                if loaded:
                    return
            time.sleep(0.5)
        raise StartupError(f"Dagster did not load the assets within {timeout_s:.0f} s.")

    def launch(self, job: str, assets: Sequence[str] = ()) -> str:
        """Start a run of a job, or of some of its assets with their checks.

        Returns:
            The run's id.

        Raises:
            StartupError: Dagster refused.
        """
        selector: dict[str, Any] = {**_REPOSITORY, "jobName": job}
        if assets:
            selector["assetSelection"] = [{"path": name.split("/")} for name in assets]
        answer = self._query(_LAUNCH, {"selector": selector})["launchRun"]
        if "run" not in answer:
            raise StartupError(f"Dagster refused to start {job}: {answer.get('message', answer['__typename'])}")
        return str(answer["run"]["id"])

    def cancel_interrupted(self, created_before: float) -> int:
        """Mark runs as cancelled that were made before a time and never ended: their process is gone.

        Args:
            created_before: seconds since 1970.

        Returns:
            Their number.
        """
        runs = self._runs({"statuses": list(UNFINISHED_STATES), "createdBefore": created_before})
        if runs:
            self._query(_CANCEL, {"ids": [run["runId"] for run in runs]})
        return len(runs)

    def unfinished(self, job: str) -> list[str]:
        """The runs of a job that wait or go on, the oldest first."""
        runs = self._runs({"pipelineName": job, "statuses": list(UNFINISHED_STATES)})
        return [run["runId"] for run in reversed(runs)]

    def ticks(self, sensor: str, after: float) -> SensorTick | None:
        """What a sensor did in all its looks after a time (seconds since 1970); None when it did not look since."""
        ticks = self._sensor_state(_TICKS, sensor)["ticks"]
        recent = [tick for tick in ticks if tick["timestamp"] > after]
        if not recent:
            return None
        run_ids = tuple(run_id for tick in reversed(recent) for run_id in tick["runIds"])
        return SensorTick(run_ids, recent[0]["skipReason"] or "", _message(recent[0]["error"]))

    def dry_run(self, sensor: str) -> SensorTick | None:
        """Let a sensor look at once, without any effect in Dagster; None when a real look would do something.

        Raises:
            StartupError: the look failed or took too long.
        """
        cursor = (self._sensor_state(_CURSOR, sensor)["typeSpecificData"] or {}).get("lastCursor")
        answer = self._query(_DRY_RUN, {"selector": _sensor(sensor), "cursor": cursor})["sensorDryRun"]
        look = answer.get("evaluationResult") or {"error": {"message": f"{sensor} cannot be tried."}}
        if look["error"]:
            raise StartupError(_message(look["error"]))
        batches = [key for request in look["dynamicPartitionsRequests"] or [] for key in request["partitionKeys"] or []]
        does_something = look["runRequests"] or batches or look["cursor"] != cursor
        return None if does_something else SensorTick((), look["skipReason"] or "", "")

    def expected(self, run_id: str) -> ExpectedRun:
        """How many steps a run has, and how long such a run took the last time."""
        run = self._query(_JOB, {"id": run_id})["runOrError"]
        # A run of a whole job names no steps.
        chosen = sorted(run.get("stepKeysToExecute") or [])
        steps = len((run.get("executionPlan") or {}).get("steps", chosen))
        for former in self._runs({"pipelineName": run["jobName"], "statuses": ["SUCCESS"]}, limit=5):
            if sorted(former["stepKeysToExecute"] or []) == chosen:
                return ExpectedRun(steps, float(former["endTime"] - former["startTime"]))
        return ExpectedRun(steps, None)

    def messages(self, run_id: str, cursor: str) -> tuple[list[str], str]:
        """What a run logged since a cursor (empty: from the start), and the cursor for the next look."""
        logs = self._query(_MESSAGES, {"id": run_id, "cursor": cursor or None})["logsForRun"]
        messages = [event["message"] for event in logs.get("events", []) if event.get("message")]
        return messages, str(logs.get("cursor") or cursor)

    def progress(self, run_id: str) -> RunProgress:
        """How far a run is."""
        run = self._query(_RUN, {"id": run_id})["runOrError"]
        steps = run.get("stepStats") or []
        done = sum(step["status"] == "SUCCESS" for step in steps)
        current = tuple(step["stepKey"] for step in steps if step["status"] == "IN_PROGRESS")
        return RunProgress(run["status"], done, current)

    def failure(self, run_id: str) -> str:
        """Why a run failed, in one line a step."""
        events = self._query(_FAILURE, {"id": run_id})["logsForRun"].get("events", [])
        steps = [_step_failure(event) for event in events if event.get("error")]
        messages = [event["message"] for event in events if event.get("message")]
        return "\n".join(steps or messages) or "Dagster gives no reason; see the run in Dagit."

    def assets(self) -> list[AssetState]:
        """All assets with their last check results.

        Raises:
            StorageError: the bucket is away.
        """
        states = [_asset_state(node) for node in self._query(_ASSETS)["assetNodes"]]
        return [replace(state, is_materialized=state.is_materialized and self._is_kept(state)) for state in states]

    def _is_kept(self, state: AssetState) -> bool:
        return self._bucket is None or not state.value_key or self._bucket.exists(state.value_key)

    def _sensor_state(self, query: str, sensor: str) -> dict[str, Any]:
        return dict(self._query(query, {"selector": _sensor(sensor)})["sensorOrError"]["sensorState"])

    def _runs(self, criteria: dict[str, Any], limit: int = 100) -> list[dict[str, Any]]:
        answer = self._query(_RUNS, {"filter": criteria, "limit": limit})
        return list(answer["runsOrError"].get("results", []))

    def _query(self, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            answer = self._http.post("/graphql", json={"query": query, "variables": variables or {}}).json()
        except (httpx.HTTPError, ValueError) as exc:
            raise StartupError(f"Dagit at {self._http.base_url} does not answer: {exc}.") from exc
        if answer.get("errors"):
            raise StartupError(f"Dagit refused a query: {answer['errors'][0]['message']}")
        return dict(answer["data"])


def _sensor(name: str) -> dict[str, str]:
    return {**_REPOSITORY, "sensorName": name}


def _message(error: dict[str, Any] | None) -> str:
    return str(error["message"]) if error else ""


def _step_failure(event: dict[str, Any]) -> str:
    causes = event["error"].get("causes") or []
    reason = causes[0]["message"] if causes else event["error"]["message"]
    return f"{event['stepKey']}: {reason.strip()}"


def _value_key(materializations: Sequence[dict[str, Any]]) -> str:
    entries = materializations[0]["metadataEntries"] if materializations else []
    return next((entry["text"] for entry in entries if entry["label"] == "object"), "")


def _asset_state(node: dict[str, Any]) -> AssetState:
    failed, missing = [], []
    for check in node["assetChecksOrError"].get("checks", []):
        execution = check["executionForLatestMaterialization"]
        if execution is None or execution["status"] in UNDECIDED_STATES:
            missing.append(check["name"])
        elif execution["status"] != "SUCCEEDED":
            failed.append(check["name"] + (" (blocking)" if check["blocking"] else ""))
    return AssetState(
        name="/".join(node["assetKey"]["path"]),
        is_materialized=bool(node["assetMaterializations"]),
        value_key=_value_key(node["assetMaterializations"]),
        failed_checks=tuple(failed),
        missing_checks=tuple(missing),
        group=node["groupName"],
        is_stale=node["staleStatus"] != "FRESH",
        is_partitioned=node["isPartitioned"],
        is_materializable=node["isMaterializable"],
        downstream=tuple("/".join(key["path"]) for key in node["dependedByKeys"]),
    )
