"""The Terraform skeleton: it parses, everything it refers to exists, and what must not be public is not."""

import re
from pathlib import Path
from typing import Any

import hcl2

FOLDER = Path(__file__).resolve().parents[3] / "infra/terraform"
TEXT = "\n".join(path.read_text() for path in sorted(FOLDER.glob("*.tf")))
BLOCKS = [hcl2.loads(path.read_text()) for path in sorted(FOLDER.glob("*.tf"))]


def plain(value: Any) -> Any:
    """The parser keeps the quotes of strings and notes on comments; neither is wanted here."""
    if isinstance(value, dict):
        return {plain(key): plain(one) for key, one in value.items() if not key.startswith("__")}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value.strip('"') if isinstance(value, str) else value


def blocks(kind: str) -> list[dict[str, Any]]:
    return [plain(block) for file in BLOCKS for block in file.get(kind, [])]


RESOURCES = {
    (kind, name): body for block in blocks("resource") for kind, named in block.items() for name, body in named.items()
}


def test_bucket_database_cluster_and_identity_are_there():
    kinds = {kind for kind, _ in RESOURCES}
    assert {"google_storage_bucket", "google_sql_database_instance", "google_container_cluster"} <= kinds
    assert RESOURCES["google_container_cluster", "main"]["enable_autopilot"] is True
    role = RESOURCES["google_service_account_iam_member", "workload"]["role"]
    assert role == "roles/iam.workloadIdentityUser"


def test_every_reference_leads_to_a_resource_or_a_variable():
    resources = set(re.findall(r"\b((?:google|random)_\w+)\.(\w+)", TEXT))
    assert resources
    assert resources <= set(RESOURCES)
    variables = {name for block in blocks("variable") for name in block}
    assert set(re.findall(r"\bvar\.(\w+)", TEXT)) == variables


def test_nothing_is_public():
    for name in ("data", "uploads"):
        assert RESOURCES["google_storage_bucket", name]["public_access_prevention"] == "enforced"
    [settings] = RESOURCES["google_sql_database_instance", "main"]["settings"]
    assert settings["ip_configuration"][0]["ipv4_enabled"] is False
    assert "allUsers" not in TEXT


def test_uploads_are_unversioned_so_that_erasure_erases():
    [versioning] = RESOURCES["google_storage_bucket", "uploads"]["versioning"]
    assert versioning["enabled"] is False
    [soft_delete] = RESOURCES["google_storage_bucket", "uploads"]["soft_delete_policy"]
    assert soft_delete["retention_duration_seconds"] == 0


def test_secret_outputs_are_marked():
    outputs = {name: body for block in blocks("output") for name, body in block.items()}
    assert outputs["database_url"]["sensitive"] is True
    assert all(body["description"] for body in outputs.values())
