"""Starts Dagster runs and follows them over Dagit's GraphQL."""

import time
from dataclasses import dataclass
from typing import Any

import httpx

from brain_core.errors import StartupError

LOCATION = "brain_assets"
REPOSITORY = "__repository__"
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
    status stepKeysToExecute stepStats { stepKey status } } } }"""
_FAILURE = """
query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
    ... on ExecutionStepFailureEvent { stepKey error { message causes { message } } }
    ... on RunFailureEvent { message } } } } }"""
_ASSETS = """
{ assetNodes { assetKey { path } assetMaterializations(limit: 1) { runId }
    assetChecksOrError { ... on AssetChecks { checks { name blocking
      executionForLatestMaterialization { status } } } } } }"""


@dataclass(frozen=True)
class RunProgress:
    """How far a run is.

    Attributes:
        status: Dagster's own word, such as `STARTED` or `SUCCESS`.
        done: steps that ended well.
        total: steps of the run; 0 before it is planned.
        current: steps that run now.
    """

    status: str
    done: int
    total: int
    current: tuple[str, ...]

    @property
    def is_final(self) -> bool:
        """Will nothing more happen?"""
        return self.status in FINAL_STATES


@dataclass(frozen=True)
class AssetState:
    """What is known of one asset.

    Attributes:
        name: the asset's key.
        is_materialized: there is a materialisation.
        failed_checks: names of its checks that did not pass; blocking ones are marked with `(blocking)`.
        missing_checks: names of its checks that have not been run.
    """

    name: str
    is_materialized: bool
    failed_checks: tuple[str, ...]
    missing_checks: tuple[str, ...]


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

    def launch(self, job: str) -> str:
        """Start a run of a job.

        Returns:
            The run's id.

        Raises:
            StartupError: Dagster refused.
        """
        selector = {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY, "jobName": job}
        answer = self._query(_LAUNCH, {"selector": selector})["launchRun"]
        if "run" not in answer:
            raise StartupError(f"Dagster refused to start {job}: {answer.get('message', answer['__typename'])}")
        return str(answer["run"]["id"])

    def progress(self, run_id: str) -> RunProgress:
        """How far a run is."""
        run = self._query(_RUN, {"id": run_id})["runOrError"]
        steps = run.get("stepStats") or []
        done = sum(step["status"] == "SUCCESS" for step in steps)
        current = tuple(step["stepKey"] for step in steps if step["status"] == "IN_PROGRESS")
        return RunProgress(run["status"], done, len(run.get("stepKeysToExecute") or []), current)

    def failure(self, run_id: str) -> str:
        """Why a run failed, in one line a step."""
        events = self._query(_FAILURE, {"id": run_id})["logsForRun"].get("events", [])
        steps = [_step_failure(event) for event in events if event.get("error")]
        messages = [event["message"] for event in events if event.get("message")]
        return "\n".join(steps or messages) or "Dagster gives no reason; see the run in Dagit."

    def assets(self) -> list[AssetState]:
        """All assets with their last check results."""
        return [_asset_state(node) for node in self._query(_ASSETS)["assetNodes"]]

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
    name = "/".join(node["assetKey"]["path"])
    return AssetState(name, bool(node["assetMaterializations"]), tuple(failed), tuple(missing))
