import subprocess
import sys

import pytest

FOREIGN = ("tensorflow", "keras", "dagster", "mlflow", "evidently", "streamlit")


def test_serving_starts_without_the_heavy_libraries():
    program = f"import sys, serving.main, serving.app; print([name for name in {FOREIGN!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({}, "BRAIN_DATABASE__URL"),
        ({"BRAIN_SERVING__HOST": "example.org"}, "BRAIN_SERVING__HOST"),
        ({"BRAIN_SERVING__HOST": "192.0.2.7"}, "BRAIN_DATABASE__URL"),
        ({"BRAIN_SERVING__WORKERS": "2"}, "BRAIN_DATABASE__URL"),
        ({"BRAIN_SERVING__PORTS": "1"}, "BRAIN_SERVING__PORT"),
    ],
    ids=["no database", "no address", "foreign address", "workers", "misspelt"],
)
def test_a_wrong_setting_ends_the_process_with_its_name(monkeypatch, tmp_path, capsys, variables, named):
    from serving.main import main

    monkeypatch.chdir(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        main()
    assert named in str(ended.value)
