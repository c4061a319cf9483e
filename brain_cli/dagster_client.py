"""Starts Dagster runs and follows them over Dagit's GraphQL."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from brain_core.errors import StartupError

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
_TICK = """
query($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) { ... on Sensor {
    sensorState { ticks(limit: 1, statuses: [SUCCESS, SKIPPED, FAILURE]) {
        timestamp runIds skipReason error { message } } } } } }"""
_ASSETS = """
{ assetNodes { assetKey { path } groupName isPartitioned isMaterializable staleStatus
    assetMaterializations(limit: 1) { runId } dependedByKeys { path }
    assetChecksOrError { ... on AssetChecks { checks { name blocking
      executionForLatestMaterialization { status } } } } } }"""
UNFINISHED_STATES = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")


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
    """What a sensor did when it looked last.

    Attributes:
        run_ids: runs that it started.
        skip_reason: why it started none.
        error: why it failed; empty when it did not.
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

    @property
    def needs_run(self) -> bool:
        """Is it missing, out of date, unverified, or did a blocking check fail?"""
        is_refused = any("(blocking)" in name for name in self.failed_checks)
        return not self.is_materialized or self.is_stale or bool(self.missing_checks) or is_refused


class DagsterClient:
    """Talks to one Dagster web server.

    Args:
        url: address of Dagit.
    """

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=30.0, trust_env=False)

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

    def newest_tick(self, sensor: str, after: float) -> SensorTick | None:
        """What a sensor did when it looked last; None when that is not after a time (seconds since 1970)."""
        selector = {**_REPOSITORY, "sensorName": sensor}
        ticks = self._query(_TICK, {"selector": selector})["sensorOrError"]["sensorState"]["ticks"]
        if not ticks or ticks[0]["timestamp"] <= after:
            return None
        error = (ticks[0]["error"] or {}).get("message", "")
        return SensorTick(tuple(ticks[0]["runIds"]), ticks[0]["skipReason"] or "", error)

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
        """All assets with their last check results."""
        return [_asset_state(node) for node in self._query(_ASSETS)["assetNodes"]]

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


def _step_failure(event: dict[str, Any]) -> str:
    causes = event["error"].get("causes") or []
    reason = causes[0]["message"] if causes else event["error"]["message"]
    return f"{event['stepKey']}: {reason.strip()}"


def _asset_state(node: dict[str, Any]) -> AssetState:
    failed, missing = [], []
    for check in node["assetChecksOrError"].get("checks", []):
        execution = check["executionForLatestMaterialization"]
        if execution is None:
            missing.append(check["name"])
        elif execution["status"] != "SUCCEEDED":
            failed.append(check["name"] + (" (blocking)" if check["blocking"] else ""))
    return AssetState(
        name="/".join(node["assetKey"]["path"]),
        is_materialized=bool(node["assetMaterializations"]),
        failed_checks=tuple(failed),
        missing_checks=tuple(missing),
        group=node["groupName"],
        is_stale=node["staleStatus"] != "FRESH",
        is_partitioned=node["isPartitioned"],
        is_materializable=node["isMaterializable"],
        downstream=tuple("/".join(key["path"]) for key in node["dependedByKeys"]),
    )
