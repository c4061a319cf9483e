"""The kustomize base: valid by the API's own schemas, and within the restricted pod security standard."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from brain_core.settings import setting_names

BASE = Path(__file__).resolve().parents[3] / "infra/k8s/base"
KUSTOMIZATION = yaml.safe_load((BASE / "kustomization.yaml").read_text())
OBJECTS = [one for file in KUSTOMIZATION["resources"] for one in yaml.safe_load_all((BASE / file).read_text())]
DEPLOYMENTS = {one["metadata"]["name"]: one for one in OBJECTS if one["kind"] == "Deployment"}
LITERALS = KUSTOMIZATION["configMapGenerator"][0]["literals"]


def pod(name: str) -> dict[str, Any]:
    return DEPLOYMENTS[name]["spec"]["template"]["spec"]


def containers(name: str) -> list[dict[str, Any]]:
    return [*pod(name).get("initContainers", []), *pod(name)["containers"]]


def test_kustomization_names_every_file():
    assert {path.name for path in BASE.iterdir()} - {"kustomization.yaml"} == set(KUSTOMIZATION["resources"])


@pytest.mark.parametrize("version", ["1.30", "1.34", "1.37"])
@pytest.mark.parametrize("one", OBJECTS, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_object_is_valid(one, version):
    kubernetes_validate.validate(one, version, strict=True)


def test_namespace_enforces_the_restricted_standard():
    [namespace] = [one for one in OBJECTS if one["kind"] == "Namespace"]
    assert namespace["metadata"]["name"] == KUSTOMIZATION["namespace"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("name", ["serving", "dashboard"])
def test_pod_is_within_the_restricted_standard(name):
    context = pod(name)["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert {next(iter(set(volume) - {"name"})) for volume in pod(name)["volumes"]} == {"emptyDir"}
    assert pod(name)["automountServiceAccountToken"] is False
    for container in containers(name):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"requests", "limits"} <= set(container["resources"])


@pytest.mark.parametrize("name", ["serving", "dashboard"])
def test_pod_is_probed_and_its_service_finds_it(name):
    [container] = pod(name)["containers"]
    assert all(
        container[probe]["httpGet"]["port"] == "http" for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    )
    [service] = [one for one in OBJECTS if one["kind"] == "Service" and one["metadata"]["name"] == name]
    labels = DEPLOYMENTS[name]["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert service["spec"]["ports"][0]["targetPort"] in {port["name"] for port in container["ports"]}


def test_settings_exist():
    named = {literal.partition("=")[0] for literal in LITERALS}
    named |= {variable["name"] for name in DEPLOYMENTS for one in containers(name) for variable in one.get("env", [])}
    assert named <= set(setting_names())


def test_traffic_is_denied_unless_a_policy_allows_it():
    policies = {one["metadata"]["name"]: one["spec"] for one in OBJECTS if one["kind"] == "NetworkPolicy"}
    assert policies["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    into = [spec for spec in policies.values() if spec.get("ingress")]
    assert [spec["podSelector"]["matchLabels"] for spec in into] == [{"app": "serving"}]
