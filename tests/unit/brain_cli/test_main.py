import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from brain_cli.main import app, source_line
from brain_cli.processes import ProcessId
from brain_cli.record import PartRecord, PlatformRecord, write_record
from brain_core.settings import load_settings

BRAIN = str(Path(sys.executable).parent / "brain")


def brain(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BRAIN, *arguments], capture_output=True, text=True, env={**os.environ, **environment}, timeout=60
    )


def test_the_sample_is_called_synthetic_at_the_start():
    assert "synthetic sample" in source_line(load_settings())
    assert source_line(load_settings(source={"uri": "gs://bucket/[images]"})) == "Source: gs://bucket/\\[images]"


COMMANDS = [
    ["up"],
    ["down"],
    ["status"],
    ["doctor"],
    ["serve"],
    ["dashboard"],
    ["ship"],
    ["db", "upgrade"],
    ["elk", "setup"],
    ["data", "versions"],
    ["data", "show"],
    ["models", "list"],
    ["models", "show"],
    ["models", "promote"],
    ["models", "rollback"],
    ["models", "shadow"],
    ["simulate", "feedback"],
    ["keys", "create"],
    ["keys", "list"],
    ["keys", "revoke"],
    ["predict"],
    ["evaluate"],
    ["explain"],
]


@pytest.mark.parametrize(
    "command", [[], ["db"], ["elk"], ["data"], ["models"], ["simulate"], ["keys"], *COMMANDS], ids=" ".join
)
def test_every_command_has_help(command):
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output


@pytest.mark.parametrize("command", [command for command in COMMANDS if command[0] != "data"], ids=" ".join)
def test_the_help_shows_an_example(command):
    output = CliRunner().invoke(app, [*command, "--help"]).output
    assert "Example" in output
    assert f"brain {' '.join(command)}" in output.partition("Example")[2]


def test_no_command_is_without_a_test_of_its_help():
    shown = CliRunner().invoke(app, ["--help"]).output
    assert {command[0] for command in COMMANDS} == set(re.findall(r"^. (\w+) {2,}[A-Z]", shown, re.MULTILINE))


def test_the_notice_stands_in_the_help():
    assert "never use it for diagnosis" in " ".join(CliRunner().invoke(app, ["--help"]).output.split())


def test_a_wrong_setting_is_a_sentence_and_exit_code_2():
    result = brain("doctor", BRAIN_SERVING__PORT="no")
    assert result.returncode == 2
    assert result.stderr.startswith("BRAIN_SERVING__PORT: Input should be a valid integer")
    assert "Traceback" not in result.stderr


def test_an_error_of_ours_is_a_sentence_and_exit_code_1(tmp_path):
    result = brain("db", "upgrade", BRAIN_DATABASE__URL=f"postgresql://postgres@/brain?host={tmp_path}")
    assert result.returncode == 1
    assert result.stderr.startswith("PostgreSQL is away")


def test_an_unknown_option_is_exit_code_2():
    result = brain("up", "--twice")
    assert result.returncode == 2
    assert "No such option" in result.stderr


def test_status_of_nothing_is_exit_code_3(tmp_path):
    result = brain("status", BRAIN_HOME=str(tmp_path))
    assert result.returncode == 3
    assert result.stdout == f"Nothing runs on {tmp_path}. No model was published yet.\n"


def test_status_as_json(tmp_path):
    result = brain("status", "--json", BRAIN_HOME=str(tmp_path))
    assert result.returncode == 3
    assert json.loads(result.stdout)["state"] == "stopped"


def test_stopping_nothing_is_a_success_that_says_so(tmp_path):
    result = brain("down", BRAIN_HOME=str(tmp_path))
    assert (result.returncode, result.stdout) == (0, f"Nothing runs on {tmp_path}.\n")


def test_a_status_shows_each_part(tmp_path):
    this = ProcessId.of(os.getpid())
    assert this is not None
    part = PartRecord(name="dagster-daemon", process=this, ready_at=1.0)
    write_record(tmp_path, PlatformRecord(supervisor=this, phase="running", parts=(part,)))
    result = brain("status", BRAIN_HOME=str(tmp_path))
    assert result.returncode == 0
    assert f"running, process {os.getpid()}, since " in result.stdout
    (line,) = [line for line in result.stdout.splitlines() if "dagster-daemon" in line]
    assert " ready " in line


def test_doctor_prints_a_table(tmp_path):
    result = brain("doctor", BRAIN_HOME=str(tmp_path))
    assert result.returncode == 0
    assert "onnxruntime" in result.stdout
