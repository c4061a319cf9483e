"""Brings what the tests need beyond Python packages where a package client can; the rest is skipped by name.

`python -m tests.requirements` installs Chromium, Java and Maven with apt-get when it may; `REQUIRE=all` turns
what is still missing into a failure, here and in the fixtures.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ELASTICSEARCH_JAVA = 21
"""Least Java version that Elasticsearch 9 runs on."""


def chromium() -> str | None:
    """Path of a Chromium, or None."""
    return next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )


def java_home() -> str | None:
    """Home of a Java that Elasticsearch runs on, or None."""
    named = [os.environ.get(name) for name in ("ES_JAVA_HOME", "JAVA_HOME")]
    folders = [Path(path) for path in named if path]
    folders += sorted(Path("/usr/lib/jvm").glob("*"), reverse=True)
    folders += [path / "Contents/Home" for path in Path("/Library/Java/JavaVirtualMachines").glob("*")]
    return next((str(folder) for folder in folders if _java_version(folder) >= ELASTICSEARCH_JAVA), None)


def maven() -> str | None:
    """Path of Maven, which fetches Elasticsearch, or None."""
    return shutil.which("mvn")


@dataclass(frozen=True)
class Requirement:
    """Software that some tests need.

    Attributes:
        name: how a skip names it.
        find: its path, or None when it is missing.
        packages: Debian packages that bring it, the first that exists is taken.
    """

    name: str
    find: Callable[[], str | None]
    packages: tuple[str, ...]


REQUIREMENTS = (
    Requirement("Chromium", chromium, ("chromium",)),
    Requirement("Java 21 or newer", java_home, ("openjdk-25-jre-headless", "openjdk-21-jre-headless")),
    Requirement("Maven", maven, ("maven",)),
)


def need(find: Callable[[], str | None], name: str) -> str:
    """The path of a requirement; without it the test is skipped by name, or fails under `REQUIRE=all`."""
    path = find()
    if path is not None:
        return path
    reason = f"{name} is missing on this machine"
    if os.environ.get("REQUIRE") == "all":
        pytest.fail(f"REQUIRE=all: {reason}")
    pytest.skip(reason)


def install_missing() -> list[str]:
    """Install what is missing and can be had.

    Returns:
        Names of what is still missing.
    """
    missing = [requirement for requirement in REQUIREMENTS if requirement.find() is None]
    if missing and shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-q"], check=False, stdout=subprocess.DEVNULL)
        for requirement in missing:
            _install(requirement)
    return [requirement.name for requirement in missing if requirement.find() is None]


def _install(requirement: Requirement) -> None:
    for package in requirement.packages:
        command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", package]
        if subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
            return


def _java_version(home: Path) -> int:
    release = home / "release"
    if not (home / "bin" / "java").exists() or not release.exists():
        return 0
    line = next((line for line in release.read_text().splitlines() if line.startswith("JAVA_VERSION=")), "")
    version = line.partition("=")[2].strip('"').partition(".")[0]
    return int(version) if version.isdigit() else 0


def main() -> int:
    """Say what is missing; under `REQUIRE=all` that is exit code 1."""
    missing = install_missing()
    for name in missing:
        sys.stderr.write(f"{name} is missing: the tests that need it are skipped.\n")
    if not os.environ.get("BRAIN_TEST_DATA"):
        sys.stderr.write("BRAIN_TEST_DATA is not set: the tests on real MRI (real_data) are deselected.\n")
    return 1 if missing and os.environ.get("REQUIRE") == "all" else 0


if __name__ == "__main__":
    sys.exit(main())
