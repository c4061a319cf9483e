"""What the layout promises, held by tests: light imports, small files, small functions, mirrored tests."""

import ast
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("brain_core", "brain_cli", "brain_assets", "serving", "dashboard")
HEAVY = ("tensorflow", "keras", "dagster", "mlflow", "evidently")
FORBIDDEN_NAMES = {"utils", "helpers", "common", "manager", "misc"}
PRODUCT_FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
MIGRATIONS = ROOT / "brain_core" / "migrations"


def functions() -> list[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    found = []
    for path in PRODUCT_FILES:
        if MIGRATIONS not in path.parents:
            nodes = ast.walk(ast.parse(path.read_text()))
            found += [(path, node) for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return found


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of code, without the docstring."""
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return (node.end_lineno or 0) - (body[0].lineno if body else node.lineno) + 2


@pytest.mark.parametrize(
    "module", ["serving.main", "dashboard.queries", "dashboard.views.predict", "brain_core.client", "brain_cli.main"]
)
def test_the_light_parts_import_nothing_heavy(module):
    code = f"import sys, {module}; print([m for m in {HEAVY!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_files_are_short():
    sizes = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in PRODUCT_FILES}
    assert {name: size for name, size in sizes.items() if size > 400} == {}


def test_functions_are_short():
    lengths = {f"{path.relative_to(ROOT)}:{node.name}": length(node) for path, node in functions()}
    assert {name: lines for name, lines in lengths.items() if lines > 50} == {}
    assert statistics.median(lengths.values()) <= 8


def test_no_module_is_a_drawer_for_everything():
    assert [str(path) for path in PRODUCT_FILES if path.stem in FORBIDDEN_NAMES] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_has_a_test_of_its_name(package):
    tests = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    modules = [p for p in PRODUCT_FILES if p.relative_to(ROOT).parts[0] == package and MIGRATIONS not in p.parents]
    wanted = {p for p in modules if p.stem not in {"__init__", "tables"}}
    without = [str(p.relative_to(ROOT)) for p in wanted if not any(name.startswith(f"test_{p.stem}") for name in tests)]
    assert without == []
