"""The documents say what the code says."""

import re
from pathlib import Path

import dagster as dg
import pytest

from brain_core.settings import setting_names

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def test_every_setting_is_documented_and_no_other():
    documented = re.findall(r"^\| `(BRAIN_\w+)` ", (ROOT / "docs/settings.md").read_text(), re.MULTILINE)
    assert documented == list(dict.fromkeys(documented))
    assert set(documented) == set(setting_names())


def test_the_example_environment_has_every_setting_and_no_other():
    named = re.findall(r"^#?(BRAIN_\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert set(named) == set(setting_names())


def test_the_example_environment_with_every_line_in_force_changes_nothing(monkeypatch, tmp_path):
    from brain_core.settings import load_settings

    before = load_settings()
    lines = (ROOT / ".env.example").read_text().splitlines()
    (tmp_path / ".env").write_text("\n".join(line.removeprefix("#") for line in lines if line.startswith("#BRAIN_")))
    monkeypatch.chdir(tmp_path)
    assert load_settings() == before


def test_the_documented_defaults_are_the_real_ones(monkeypatch):
    from brain_core.settings import load_settings

    text = (ROOT / "docs/settings.md").read_text()
    rows = dict(re.findall(r"^\| `(BRAIN_\w+)` \| `([^`]*)` ", text, re.MULTILINE))
    assert len(rows) == len(setting_names())
    actual = load_settings().as_environment()
    assert {name: value for name, value in rows.items() if value != actual.get(name, "(none)")} == {}


def test_every_asset_is_documented_and_no_other():
    from brain_assets.definitions import defs

    text = (ROOT / "docs/architecture.md").read_text()
    section = text.partition("## Assets")[2].partition("\n## ")[0]
    documented = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    assert documented == {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}


def test_jobs_sensors_and_schedules_are_documented():
    from brain_assets.definitions import defs

    repository = defs.get_repository_def()
    names = [*(s.name for s in repository.sensor_defs), *(s.name for s in repository.schedule_defs)]
    names += [name for name in repository.job_names if not name.startswith("__")]
    assert len(names) > 6
    text = (ROOT / "docs/architecture.md").read_text()
    assert [name for name in names if f"`{name}`" not in text] == []


def test_every_asset_and_check_describes_itself():
    from brain_assets.definitions import defs

    graph = defs.resolve_asset_graph()
    specs = [graph.get(key) for key in graph.get_all_asset_keys()]
    assert [spec.key for spec in specs if not spec.description] == []
    checks = [graph.get_check_spec(key) for key in graph.asset_check_keys]
    assert len(checks) > 5
    assert [check.name for check in checks if not check.description] == []
    assert isinstance(specs[0].key, dg.AssetKey)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_pictures_exist(document):
    targets = re.findall(r"\]\(([^)#]+)\)", document.read_text())
    local = [target for target in targets if not target.startswith("http")]
    assert [target for target in local if not (document.parent / target).exists()] == []


def test_the_commands_of_the_readme_exist():
    text = (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"\bmake (\w+)", text))
    assert {"up", "test"} <= targets
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


def test_the_notice_stands_in_the_readme():
    from brain_core.labels import NOTICE

    assert NOTICE in (ROOT / "README.md").read_text()
