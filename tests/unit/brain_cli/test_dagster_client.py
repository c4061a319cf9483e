import httpx
import pytest

from brain_cli.dagster_client import DagsterClient, ExpectedRun, RunProgress, SensorTick, _asset_state, _step_failure
from brain_core.errors import StartupError
from brain_core.storage import LocalBucket


def answering(data: dict, bucket: LocalBucket | None = None) -> DagsterClient:
    client = DagsterClient("http://dagit", bucket)
    client._http = httpx.Client(
        base_url="http://dagit", transport=httpx.MockTransport(lambda _: httpx.Response(200, json=data))
    )
    return client


def test_a_server_that_is_away_is_an_error_of_ours():
    with pytest.raises(StartupError, match="does not answer"):
        DagsterClient("http://127.0.0.1:9").assets()


def test_a_refused_query_shows_the_reason():
    with pytest.raises(StartupError, match="no such field"):
        answering({"errors": [{"message": "no such field"}]}).assets()


def test_a_refused_launch_shows_the_reason():
    client = answering({"data": {"launchRun": {"__typename": "PythonError", "message": "job is broken"}}})
    with pytest.raises(StartupError, match="refused to start monitoring: job is broken"):
        client.launch("monitoring")


def test_assets_that_cannot_be_loaded_stop_the_wait_at_once():
    entry = {"name": "brain_assets", "locationOrLoadError": {"__typename": "PythonError", "message": "SyntaxError"}}
    with pytest.raises(StartupError, match="cannot load the assets: SyntaxError"):
        answering({"data": {"workspaceOrError": {"locationEntries": [entry]}}}).wait_for_code()


def test_progress_counts_steps():
    steps = [{"stepKey": "a", "status": "SUCCESS"}, {"stepKey": "b", "status": "IN_PROGRESS"}]
    run = {"status": "STARTED", "stepStats": steps}
    progress = answering({"data": {"runOrError": run}}).progress("1")
    assert progress == RunProgress("STARTED", 1, ("b",))
    assert not progress.is_final


def test_the_steps_of_a_run_of_a_whole_job_are_those_of_its_plan():
    plan = {"steps": [{"key": "a"}, {"key": "b"}]}
    run = {"jobName": "ingest_batch", "stepKeysToExecute": None, "executionPlan": plan}
    answer = {"data": {"runOrError": run, "runsOrError": {"results": []}}}
    assert answering(answer).expected("1") == ExpectedRun(2, None)


@pytest.mark.parametrize(("former", "seconds"), [(["b", "a"], 12.5), (["a"], None)])
def test_only_a_run_of_the_same_steps_tells_how_long_it_takes(former, seconds):
    run = {"jobName": "build", "stepKeysToExecute": ["a", "b"], "executionPlan": None}
    results = [{"runId": "0", "startTime": 10.0, "endTime": 22.5, "stepKeysToExecute": former}]
    answer = {"data": {"runOrError": run, "runsOrError": {"results": results}}}
    assert answering(answer).expected("1") == ExpectedRun(2, seconds)


def test_an_assets_failed_and_missing_checks_are_told_apart():
    checks = [
        {"name": "good", "blocking": True, "executionForLatestMaterialization": {"status": "SUCCEEDED"}},
        {"name": "bad", "blocking": True, "executionForLatestMaterialization": {"status": "FAILED"}},
        {"name": "odd", "blocking": False, "executionForLatestMaterialization": {"status": "EXECUTION_FAILED"}},
        {"name": "absent", "blocking": False, "executionForLatestMaterialization": None},
    ]
    node = {
        "assetKey": {"path": ["x"]},
        "groupName": "training",
        "isPartitioned": False,
        "isMaterializable": True,
        "staleStatus": "STALE",
        "assetMaterializations": [],
        "dependedByKeys": [{"path": ["y"]}],
        "assetChecksOrError": {"checks": checks},
    }
    state = _asset_state(node)
    assert (state.name, state.is_materialized) == ("x", False)
    assert (state.group, state.is_stale, state.downstream) == ("training", True, ("y",))
    assert state.failed_checks == ("bad (blocking)",)
    assert state.missing_checks == ("odd", "absent")
    assert state.needs_run


def test_a_steps_failure_is_the_error_that_the_step_raised():
    event = {"stepKey": "s", "error": {"message": "outer", "causes": [{"message": "middle"}, {"message": "root\n"}]}}
    assert _step_failure(event) == "s: middle"


def test_an_old_look_of_a_sensor_does_not_count():
    tick = {"timestamp": 100.0, "runIds": ["r"], "skipReason": None, "error": None}
    client = answering({"data": {"sensorOrError": {"sensorState": {"ticks": [tick]}}}})
    assert client.ticks("source_sensor", after=100.0) is None
    assert client.ticks("source_sensor", after=99.0) == SensorTick(("r",), "", "")


def test_the_runs_of_all_looks_since_count_and_the_newest_look_tells_the_reason():
    ticks = [
        {"timestamp": 104.0, "runIds": [], "skipReason": "being read: batch 00002-b.", "error": None},
        {"timestamp": 103.0, "runIds": ["second"], "skipReason": None, "error": {"message": "passed"}},
        {"timestamp": 102.0, "runIds": ["first"], "skipReason": None, "error": None},
        {"timestamp": 99.0, "runIds": ["old"], "skipReason": None, "error": {"message": "old"}},
    ]
    client = answering({"data": {"sensorOrError": {"sensorState": {"ticks": ticks}}}})
    expected = SensorTick(("first", "second"), "being read: batch 00002-b.", "")
    assert client.ticks("source_sensor", after=100.0) == expected


def trying(**result: object) -> DagsterClient:
    """A Dagit whose sensor has the cursor `c1` and gives this in a dry run."""
    look = {"cursor": "c1", "skipReason": None, "error": None, "runRequests": [], "dynamicPartitionsRequests": []}
    state = {"typeSpecificData": {"lastCursor": "c1"}}
    tried = {"evaluationResult": {**look, **result}}
    return answering({"data": {"sensorOrError": {"sensorState": state}, "sensorDryRun": tried}})


def test_a_dry_run_without_consequences_is_a_look():
    idle = [{"partitionKeys": []}, {"partitionKeys": None}]
    client = trying(skipReason="nothing is new", dynamicPartitionsRequests=idle)
    assert client.dry_run("source_sensor") == SensorTick((), "nothing is new", "")


@pytest.mark.parametrize(
    "result",
    [{"runRequests": [{"runKey": None}]}, {"cursor": "c2"}, {"dynamicPartitionsRequests": [{"partitionKeys": ["b"]}]}],
)
def test_a_dry_run_with_consequences_leaves_it_to_the_sensor(result):
    assert trying(**result).dry_run("source_sensor") is None


def test_a_dry_run_that_fails_says_why():
    with pytest.raises(StartupError, match="timed out"):
        trying(error={"message": "timed out"}).dry_run("source_sensor")
    state = {"sensorState": {"typeSpecificData": {"lastCursor": None}}}
    with pytest.raises(StartupError, match="source_sensor cannot be tried"):
        answering({"data": {"sensorOrError": state, "sensorDryRun": {}}}).dry_run("source_sensor")


def test_unfinished_runs_are_given_the_oldest_first():
    runs = {"results": [{"runId": "newer"}, {"runId": "older"}]}
    assert answering({"data": {"runsOrError": runs}}).unfinished("ingest_batch") == ["older", "newer"]


def asset_node(*entries: dict) -> dict:
    return {
        "assetKey": {"path": ["x"]}, "groupName": "", "isPartitioned": False, "isMaterializable": True,
        "staleStatus": "FRESH", "assetMaterializations": [{"metadataEntries": list(entries)}], "dependedByKeys": [],
        "assetChecksOrError": {},
    }  # fmt: skip


def test_an_asset_whose_value_is_not_in_the_bucket_counts_as_missing(tmp_path):
    bucket = LocalBucket(tmp_path)
    node = asset_node({"label": "rows"}, {"label": "object", "text": "assets/x/value.json"})
    client = answering({"data": {"assetNodes": [node]}}, bucket)
    assert [asset.is_materialized for asset in client.assets()] == [False]
    bucket.write("assets/x/value.json", b"{}")
    assert [asset.is_materialized for asset in client.assets()] == [True]


def test_an_asset_without_a_value_in_the_bucket_counts_as_made(tmp_path):
    client = answering({"data": {"assetNodes": [asset_node({"label": "rows"})]}}, LocalBucket(tmp_path))
    assert [asset.is_materialized for asset in client.assets()] == [True]


def test_the_cursor_moves_with_the_messages_and_stays_without():
    logs = {"cursor": "7", "events": [{}, {"message": "images read: 1 of 2"}]}
    assert answering({"data": {"logsForRun": logs}}).messages("1", "") == (["images read: 1 of 2"], "7")
    assert answering({"data": {"logsForRun": {}}}).messages("1", "5") == ([], "5")
