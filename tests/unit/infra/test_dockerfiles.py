"""What every Dockerfile of ours keeps to; building them needs buildah or Docker."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = {
    "serving": {"brain_core", "brain_cli", "serving"},
    "pipeline": {"brain_core", "brain_cli", "brain_assets"},
    "dashboard": {"brain_core", "brain_cli", "dashboard"},
}
IGNORE = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]


def text(part: str) -> str:
    return (ROOT / f"infra/docker/{part}.Dockerfile").read_text()


def copied(part: str) -> set[str]:
    found = re.findall(r"^COPY (?!--from)(.+) \S+$", text(part), re.MULTILINE)
    return {source for sources in found for source in sources.split()}


@pytest.mark.parametrize("part", PACKAGES)
def test_every_stage_starts_from_the_one_base(part):
    assert set(re.findall(r"^FROM (\S+)", text(part), re.MULTILINE)) == {"python:3.11-slim-bookworm"}
    assert "COPY --from=build" in text(part)


@pytest.mark.parametrize("part", PACKAGES)
def test_image_installs_the_locked_versions_of_its_own_extra_only(part):
    [sync] = re.findall(r"uv sync (.*)$", text(part), re.MULTILINE)
    assert "--locked --no-dev" in sync
    assert re.findall(r"--extra (\w+)", sync) == [part]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert part in extras


@pytest.mark.parametrize("part", PACKAGES)
def test_image_carries_only_its_own_packages(part):
    packages = {source for source in copied(part) if (ROOT / source / "__init__.py").exists()}
    assert packages == PACKAGES[part]


@pytest.mark.parametrize("part", PACKAGES)
def test_what_is_copied_exists_and_is_not_ignored(part):
    for source in copied(part):
        assert (ROOT / source).exists()
        assert f"!{source}" in IGNORE


@pytest.mark.parametrize("part", PACKAGES)
def test_image_guards_its_imports_runs_as_nobody_and_has_a_health_check(part):
    lines = text(part).splitlines()
    user = lines.index("USER 10001:10001")
    guards = [number for number, line in enumerate(lines) if "find_spec" in line]
    assert guards
    assert all(number < user for number in guards)
    assert not any(line.startswith(("RUN", "COPY", "USER")) for line in lines[user + 1 :])
    assert "HEALTHCHECK" in "\n".join(lines[user:])


def test_build_context_is_closed_by_default():
    assert IGNORE[0] == "*"


def test_dagster_in_containers_is_set_like_the_embedded_one():
    from brain_cli.parts import DAGSTER_YAML

    here = yaml.safe_load((ROOT / "infra/docker/dagster/dagster.yaml").read_text())
    embedded = yaml.safe_load(DAGSTER_YAML.format(compute_logs="/data/dagster/compute_logs"))
    assert {key: here[key] for key in embedded} == embedded
