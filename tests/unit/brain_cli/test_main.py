import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from brain_cli.main import app

BRAIN = str(Path(sys.executable).parent / "brain")


def brain(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [BRAIN, *arguments], capture_output=True, text=True, env={**os.environ, **environment}, timeout=60
    )


@pytest.mark.parametrize(
    "command", [[], ["up"], ["doctor"], ["serve"], ["dashboard"], ["ship"], ["db"], ["db", "upgrade"], ["elk", "setup"]]
)
def test_every_command_has_help(command):
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output


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


def test_doctor_prints_a_table(tmp_path):
    result = brain("doctor", BRAIN_HOME=str(tmp_path))
    assert result.returncode == 0
    assert "onnxruntime" in result.stdout
