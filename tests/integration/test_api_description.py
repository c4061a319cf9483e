"""The running API does what its own description says: schemathesis walks all of it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from brain_core.client import BrainClient
from tests.fixtures_bundle import slice_jpeg

# An erased prediction is gone (410), which no schema can foresee.
CONFIGURATION = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 401, 403, 404, 409, 410, 429, "5xx"]

[[operations]]
include-name = "GET /v1/feedback"
checks.positive_data_acceptance.enabled = false

[[operations]]
include-name = "POST /v1/predictions"
checks.positive_data_acceptance.enabled = false

[[operations]]
include-name = "PUT /v1/predictions/{prediction_id}/feedback"
checks.positive_data_acceptance.enabled = false

[[operations]]
include-path-regex = "prediction_id"
exclude-method = "DELETE"
parameters = { prediction_id = "ID" }
"""


@pytest.fixture
def report(keyed_url, make_key, tmp_path):
    """What schemathesis found, with a key for everything and a prediction to ask for."""
    key = make_key("admin", rate_per_minute=1_000_000)
    with BrainClient(keyed_url, timeout_s=60, api_key=key) as client:
        created = client.predict(slice_jpeg(), consent=True)
    command = [
        *(str(Path(sys.executable).parent / "schemathesis"), "run", f"{keyed_url}/openapi.json"),
        *("-H", f"X-API-Key: {key}", "-H", f"Authorization: Bearer {created.access_token}"),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "12", "--seed", "1"),
        *("--request-timeout", "30", "--no-color", "--continue-on-failure"),
        # What the server answers to a wrong key is tested by name (test_keys.py).
        *("--exclude-checks", "ignored_auth"),
    ]
    # That a picture is a brain MRI slice, a class another than the predicted one, or a page of the queue, cannot be
    # described.
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION.replace("ID", str(created.id)))
    return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)


def test_the_api_keeps_to_its_description_under_generated_requests(report):
    assert report.returncode == 0, report.stdout[-12_000:] + report.stderr[-2_000:]
    tested = re.search(r"(\d+) generated", report.stdout)
    assert tested, report.stdout[-3_000:]
    assert int(tested.group(1)) > 100
