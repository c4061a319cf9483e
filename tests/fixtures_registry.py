"""A registry in memory whose calls can fail, so that what a crash between two steps leaves can be looked at."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from brain_assets.ml.registry import RecordedRun, RegisteredVersion
from brain_core.errors import RegistryError


class MemoryRegistry:
    """Versions, aliases and tags, as `ModelRegistry` has them.

    Attributes:
        aliases: version by alias.
        tags: tags by version.
        kept: files of the bundle by version.
        artifacts: what was kept of the runs, by folder and name.
        metrics: of every run.
        before: called with the name of each call that changes something.
    """

    def __init__(self, *versions: str) -> None:
        self.aliases: dict[str, str] = {}
        self.tags: dict[str, dict[str, str]] = {version: {} for version in versions}
        self.kept: dict[str, dict[str, bytes]] = {}
        self.artifacts: dict[str, bytes] = {}
        self.metrics: dict[str, float] = {}
        self.is_away = False
        self.before: Callable[[str], None] = lambda _: None

    def versions(self) -> list[RegisteredVersion]:
        self._require()
        now = datetime.now(UTC)
        return [
            RegisteredVersion(
                version,
                now,
                tuple(sorted(alias for alias, of in self.aliases.items() if of == version)),
                dict(tags),
                RecordedRun(f"run-{version}", now, dict(self.metrics), {"architecture": "tiny"}, {}),
            )
            for version, tags in sorted(self.tags.items(), reverse=True)
        ]

    def runs_with_tag(self, name: str, value: str) -> list[RecordedRun]:
        self._require()
        return []

    def alias_version(self, alias: str) -> str | None:
        self._require()
        return self.aliases.get(alias)

    def set_alias(self, alias: str, version: str) -> None:
        self._require()
        self.before("set_alias")
        self.aliases[alias] = version

    def delete_alias(self, alias: str) -> None:
        self._require()
        self.before("delete_alias")
        del self.aliases[alias]

    def set_version_tags(self, version: str, tags: dict[str, str]) -> None:
        self._require()
        self.before("set_version_tags")
        self.tags[version] |= tags

    def files(self, run_id: str, folder: str) -> dict[str, bytes]:
        self._require()
        return self.kept.get(run_id.removeprefix("run-"), {})

    def existing_run(self, run_id: str) -> "MemoryRegistry":
        self._require()
        return self

    def log_files(self, files: dict[str, bytes], folder: str) -> None:
        self.before("log_files")
        self.artifacts |= {f"{folder}/{name}": data for name, data in files.items()}

    def _require(self) -> None:
        if self.is_away:
            raise RegistryError("MLflow is away.")


class FileRegistry(MemoryRegistry):
    """The same in a file, so that it outlives a process that is killed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._load()

    def versions(self) -> list[RegisteredVersion]:
        self._load()
        return super().versions()

    def alias_version(self, alias: str) -> str | None:
        self._load()
        return super().alias_version(alias)

    def set_alias(self, alias: str, version: str) -> None:
        super().set_alias(alias, version)
        self._save()

    def delete_alias(self, alias: str) -> None:
        super().delete_alias(alias)
        self._save()

    def set_version_tags(self, version: str, tags: dict[str, str]) -> None:
        super().set_version_tags(version, tags)
        self._save()

    def register_bare(self, version: str) -> None:
        """A version of which nothing was uploaded."""
        self.tags[version] = {}
        self._save()

    def _load(self) -> None:
        kept = json.loads(self._path.read_text())
        self.aliases, self.tags = kept["aliases"], kept["tags"]

    def _save(self) -> None:
        self._path.write_text(json.dumps({"aliases": self.aliases, "tags": self.tags}))
