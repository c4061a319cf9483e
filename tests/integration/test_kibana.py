"""Each Kibana panel's own query, run on a real Elasticsearch over events whose answers are known."""

import json
from typing import Any

import pytest
import uuid6

from brain_core.settings import Settings
from brain_core.shipping import Shipper
from tests.fixtures_elasticsearch import ELK, PASSWORD

OBJECTS = [json.loads(line) for line in (ELK / "kibana/brain-assets.ndjson").read_text().splitlines()]
LENS = {one["id"]: one for one in OBJECTS if one["type"] == "lens"}
METRICS = {"average": "avg"}
PERCENTILES = {"median": lambda params: 50, "percentile": lambda params: params["percentile"]}

PREDICTIONS = [("glioma", 0.9, 10, 0.8), ("glioma", 0.7, 30, 0.9), ("notumor", 1.0, 20, 1.0)]
ANSWERS = {
    "brain-assets-inferences": {(): [3]},
    "brain-assets-inferences-by-class": {("glioma",): [2], ("notumor",): [1]},
    "brain-assets-confidence-by-class": {("glioma",): [0.8], ("notumor",): [1.0]},
    "brain-assets-validity": {("false",): [1], ("true",): [3]},
    "brain-assets-latency-by-class": {("glioma",): [20e6, 29e6], ("notumor",): [20e6, 20e6]},
    "brain-assets-feedback": {("false",): [1], ("true",): [2]},
    "brain-assets-correlation": {("false",): [0.1], ("true",): [0.9]},
}


@pytest.fixture(scope="module")
def events(elasticsearch, tmp_path_factory) -> str:
    """Events of every action, delivered by the shipper; gives the data stream's name."""
    logs = {"elasticsearch_url": elasticsearch.url, "elasticsearch_password": PASSWORD}
    home = tmp_path_factory.mktemp("kibana")
    settings = Settings(home=home, environment=f"k{uuid6.uuid7().hex}", logs=logs)
    settings.spool_path.mkdir()
    lines = [
        sample("predict", duration_ms, prediction(name, probability), gate(correlation))
        for name, probability, duration_ms, correlation in PREDICTIONS
    ]
    lines += [sample("feedback", 2, {}, {"feedback": {"agrees": agrees}}) for agrees in (True, True, False)]
    lines += [sample("readyz", 1, {}, {}), sample("erase", 1, {}, {})]
    failures = [sample("refuse", 5, {"is_valid": False}, gate(0.1)), sample("predict", 1, {}, {})]
    for line in failures:
        line["event"]["outcome"] = "failure"
    lines += failures
    for line in lines:
        line["service"] = {"name": "serving", "environment": settings.environment}
    (settings.spool_path / "serving-1.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert Shipper(settings).ship_once().delivered == len(lines)
    with elasticsearch.client() as admin:
        admin.indices.refresh(index="logs-brain.*")
    return f"logs-brain.serving-{settings.environment}"


def prediction(name: str, probability: float) -> dict[str, Any]:
    return {"class": name, "confidence": probability, "is_valid": True}


def gate(correlation: float) -> dict[str, Any]:
    return {"gate": {"histogram_correlation": correlation}}


def sample(action: str, duration_ms: int, prediction: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    return {
        "@timestamp": "2026-11-20T10:00:00.000Z",
        "event": {
            "id": str(uuid6.uuid7()),
            "action": action,
            "outcome": "success",
            "duration": duration_ms * 1_000_000,
        },
        "brain": {"prediction": {"id": str(uuid6.uuid7()), **prediction}, **more},
    }


def request(panel: dict[str, Any]) -> tuple[dict[str, Any], list[str], list[str]]:
    """What Kibana asks for a Lens panel: the query with nested buckets, and the names of buckets and metrics."""
    state = panel["attributes"]["state"]
    assert state["query"]["language"] == "lucene"
    [layer] = state["datasourceStates"]["formBased"]["layers"].values()
    columns = {name: layer["columns"][name] for name in layer["columnOrder"]}
    buckets = [name for name, column in columns.items() if column["isBucketed"]]
    metrics = [name for name, column in columns.items() if not column["isBucketed"]]
    aggs = {name: agg for name in metrics if (agg := metric(columns[name]))}
    for name in reversed(buckets):
        column = columns[name]
        assert column["operationType"] == "terms"
        aggs = {name: {"terms": {"field": column["sourceField"], "size": column["params"]["size"]}, "aggs": aggs}}
    query = {"query_string": {"query": state["query"]["query"], "analyze_wildcard": True}}
    return {"query": query, "aggs": aggs, "size": 0, "track_total_hits": True}, buckets, metrics


def metric(column: dict[str, Any]) -> dict[str, Any] | None:
    operation, field = column["operationType"], column["sourceField"]
    if operation == "count":
        return None
    if operation in PERCENTILES:
        return {"percentiles": {"field": field, "percents": [PERCENTILES[operation](column["params"])]}}
    return {METRICS[operation]: {"field": field}}


def values(bucket: dict[str, Any], count: int, metrics: list[str]) -> list[float]:
    found = []
    for name in metrics:
        answer = bucket.get(name)
        if answer is None:
            found.append(count)
        else:
            found.append(answer["value"] if "value" in answer else next(iter(answer["values"].values())))
    return found


@pytest.mark.needs_java
@pytest.mark.parametrize("name", ANSWERS)
def test_panel_gives_the_right_numbers(elasticsearch, events, name):
    body, buckets, metrics = request(LENS[name])
    with elasticsearch.client("brain_reader") as reader:
        answer = reader.search(index=events, **body).body
    if buckets:
        [bucket_name] = buckets
        rows = {
            (bucket.get("key_as_string", bucket["key"]),): values(bucket, bucket["doc_count"], metrics)
            for bucket in answer["aggregations"][bucket_name]["buckets"]
        }
    else:
        rows = {(): values(answer.get("aggregations", {}), answer["hits"]["total"]["value"], metrics)}
    assert {key: pytest.approx(row, rel=1e-3) for key, row in ANSWERS[name].items()} == rows


def test_every_panel_has_a_known_answer_and_stands_on_the_dashboard():
    [dashboard] = [one for one in OBJECTS if one["type"] == "dashboard"]
    assert {reference["id"] for reference in dashboard["references"]} == set(LENS) == set(ANSWERS)


def test_every_reference_and_accessor_leads_somewhere():
    ids = {(one["type"], one["id"]) for one in OBJECTS}
    assert len(ids) == len(OBJECTS)
    for one in OBJECTS:
        assert {(reference["type"], reference["id"]) for reference in one["references"]} <= ids
    for lens in LENS.values():
        state = lens["attributes"]["state"]
        [(layer_id, layer)] = state["datasourceStates"]["formBased"]["layers"].items()
        assert [reference["name"] for reference in lens["references"]] == [f"indexpattern-datasource-layer-{layer_id}"]
        assert set(accessors(state["visualization"])) == set(layer["columns"]) == set(layer["columnOrder"])


def accessors(visualization: dict[str, Any]) -> list[str]:
    """The columns that a chart shows, whatever the kind of chart calls them."""
    found = [value for key, value in visualization.items() if key == "metricAccessor"]
    for layer in visualization.get("layers", []):
        found += [layer[key] for key in ("xAccessor",) if key in layer]
        found += [name for key in ("accessors", "primaryGroups", "metrics") for name in layer.get(key, [])]
    return found


def test_dashboard_panels_lie_inside_the_grid_and_do_not_overlap():
    [dashboard] = [one for one in OBJECTS if one["type"] == "dashboard"]
    panels = json.loads(dashboard["attributes"]["panelsJSON"])
    names = {reference["name"] for reference in dashboard["references"]}
    assert {f"{panel['panelIndex']}:{panel['panelRefName']}" for panel in panels} == names
    cells = [
        (x, y)
        for grid in (panel["gridData"] for panel in panels)
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 48


def test_panels_use_only_fields_that_the_template_maps():
    template = json.loads((ELK / "index-template.json").read_text())
    fields = set(template["template"]["mappings"]["properties"])
    for lens in LENS.values():
        [layer] = lens["attributes"]["state"]["datasourceStates"]["formBased"]["layers"].values()
        assert {column["sourceField"] for column in layer["columns"].values()} <= fields | {"___records___"}
