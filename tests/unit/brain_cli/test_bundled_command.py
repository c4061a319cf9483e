import signal

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from brain_assets.ml import pretrained
from brain_cli.bundled_command import LEFT_OUT, publish_bundled
from brain_core.errors import BundleError, SettingsError

app = typer.Typer()
app.command()(publish_bundled)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.fixture
def folder(monkeypatch, pretrained_folder):
    monkeypatch.setattr(pretrained.read_pretrained, "__defaults__", (pretrained_folder,))
    return pretrained_folder


def test_the_setting_leaves_it_out_without_looking_for_anything(monkeypatch):
    monkeypatch.setenv("BRAIN_MODEL__BUNDLED", "false")
    result = run()
    assert (result.exit_code, result.output.strip()) == (0, LEFT_OUT)


def test_an_installation_without_a_model_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(pretrained.read_pretrained, "__defaults__", (tmp_path,))
    with pytest.raises(BundleError, match="The bundled model cannot be used"):
        raise run().exception or AssertionError("no error")


def test_without_a_database_the_setting_is_named(folder):
    with pytest.raises(SettingsError, match="BRAIN_DATABASE__URL"):
        raise run().exception or AssertionError("no error")


def test_an_interrupt_ends_it_with_the_code_of_the_signal(monkeypatch, folder):
    monkeypatch.setattr(pretrained, "read_pretrained", lambda: signal.raise_signal(signal.SIGTERM))
    result = run()
    assert result.exit_code == 143
    assert "the next try goes on" in result.output
