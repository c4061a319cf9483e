"""`docs/operations.md` names what there is."""

import re

from typer.testing import CliRunner

from brain_cli.main import app
from brain_cli.parts import ROOT, RUN_MARK, platform_parts
from brain_core.settings import load_settings

TEXT = (ROOT / "docs" / "operations.md").read_text()


def test_every_part_is_described_and_no_other(monkeypatch):
    monkeypatch.setenv("BRAIN_LOGS__ELASTICSEARCH_URL", "http://127.0.0.1:9200")
    described = re.findall(r"^\| `([a-z-]+)` \|", TEXT.partition("## What runs")[2].partition("\n## ")[0], re.MULTILINE)
    assert described == ["postgres", *(part.name for part in platform_parts(load_settings(), ""))]


def test_the_commands_exist():
    for command in re.findall(r"^\| `brain (\w+)", TEXT, re.MULTILINE):
        assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0


def test_the_mark_is_named():
    assert f"`{RUN_MARK}`" in TEXT
