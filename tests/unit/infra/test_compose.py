"""The compose file, by what must hold of every service; `docker compose config` is not needed."""

import re
from pathlib import Path

import pytest
import yaml

from brain_core.settings import OUTSIDE_SETTINGS, setting_names

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
OURS = {name: one for name, one in SERVICES.items() if one["image"].startswith("brain-assets-")}
JOBS = {"bundled-model", "dashboard-key", "database-upgrade", "elasticsearch-setup", "kibana-setup"}


def test_every_part_of_the_platform_is_there():
    parts = {"postgres", "mlflow", "dagster-webserver", "dagster-daemon", "dagster-code", "serving", "dashboard"}
    assert set(SERVICES) == parts | {"elasticsearch", "kibana", "shipper"} | JOBS


@pytest.mark.parametrize("name", SERVICES)
def test_service_has_a_health_check_and_a_job_has_none(name):
    check = SERVICES[name]["healthcheck"]
    assert check.get("disable", False) == (name in JOBS)
    assert ("test" in check) != (name in JOBS)


@pytest.mark.parametrize("name", SERVICES)
def test_dependencies_are_waited_for(name):
    for other, wanted in SERVICES[name].get("depends_on", {}).items():
        assert wanted == {"condition": "service_completed_successfully" if other in JOBS else "service_healthy"}
        assert other in SERVICES


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_loopback_only(name):
    assert all(re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port) for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("name", OURS)
def test_our_containers_are_locked_down(name):
    service = OURS[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"]
    assert "privileged" not in service
    assert (ROOT / service["build"]["dockerfile"]).is_file()


@pytest.mark.parametrize("name", OURS)
def test_our_containers_get_only_settings_that_exist(name):
    variables = {key for key in OURS[name].get("environment", {}) if key.startswith("BRAIN_")}
    assert variables <= {*setting_names(), *OUTSIDE_SETTINGS}


def test_the_settings_of_the_feedback_loop_reach_the_parts_that_read_them():
    loop = {name for name in setting_names() if name.startswith(("BRAIN_FEEDBACK__", "BRAIN_RETRAINING__"))}
    assert loop <= set(SERVICES["dagster-code"]["environment"])
    for part in ("serving", "dashboard"):
        assert {"BRAIN_FEEDBACK__THRESHOLD", "BRAIN_FEEDBACK__REVIEW"} <= set(SERVICES[part]["environment"])


@pytest.mark.parametrize("name", SERVICES)
def test_mounted_files_and_named_volumes_exist(name):
    for mount in SERVICES[name].get("volumes", []):
        source = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", mount).split(":")[0]
        assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


def test_every_password_is_required_and_listed_in_the_example():
    used = re.findall(r"\$\{(\w*(?:PASSWORD|API_KEY))(.*?)\}", TEXT)
    assert {rest for _, rest in used} == {":?set it in .env"}
    example = (ROOT / "infra/docker/compose.env.example").read_text()
    assert {name for name, _ in used} == set(re.findall(r"^(\w+)=$", example, re.MULTILINE))


def test_urls_that_others_read_name_the_driver():
    environments = [one.get("environment", {}) for one in SERVICES.values()]
    names = ("BRAIN_DATABASE__DAGSTER_URL", "MLFLOW_BACKEND_STORE_URI")
    urls = {one[name] for one in environments for name in names if name in one}
    assert len(urls) == 2
    assert all(url.startswith("postgresql+psycopg2://") for url in urls)


def test_images_are_pinned_and_come_without_a_registry_host():
    for service in SERVICES.values():
        if service not in OURS.values():
            assert re.fullmatch(r"[a-z]+:\d[\w.-]*", service["image"])


def test_users_and_commands_of_elasticsearch_fit_the_mounted_script():
    script = (ROOT / "elk/create-users.sh").read_text()
    wanted = set(re.findall(r"\$\{(\w+):\?\}", script))
    assert wanted <= set(SERVICES["elasticsearch"]["environment"])
    assert f"user {SERVICES['kibana']['environment']['ELASTICSEARCH_USERNAME']} kibana_system" in script
