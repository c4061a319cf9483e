"""Play the feedback loop through on the public data set: poisoned feedback, and feedback that a model can learn from.

    python bench/feedback.py /path/to/data --work FOLDER [--seeds 5] [--epochs 14] [--architecture NAME] [--groups N]
        [--scenario NAME]
    python bench/feedback.py /path/to/data --work FOLDER --bundled

The folder holds `brain-tumor-mri` (public layout) and `annotations.csv` beside it or in it. For each seed, with 60
corrected images each time, one a group of copies and as many a class as there are:

* poison-all, poison-30: the champion knows the source without some patients; 60 of their images come back with wrong
  labels (all of them, 30 %). A model that is worse on the frozen test part must never become the champion.
* starved-class: the champion was trained with a few patients of one class only; the feedback shows others, labelled
  rightly.
* missing-source: the champion was trained without the SARTAJ images (86 groups of the training part, meningioma and
  pituitary only); the feedback shows some of them, labelled rightly.

The last two are to be promoted in at least four of five seeds. Prints the table, then one JSON line; exits 1 when a
target is missed. What is done is kept in the work folder: a run that was cut off goes on where it stopped, also in the
middle of a training. `--architecture compact_cnn` is the smaller half of the product's network and takes half the time;
`--groups` takes that many groups of copies only, of every part and class alike; what is uploaded of the missing source
comes from all its groups, since a part of them would be fewer than 60. `--scenario` plays that one only. `--bundled`
plays poison-30 alone, with the model that comes with the package as the champion: how long does a retraining on all
images take? The source lacks only the 3 % of the training components from which the uploads are taken.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pretrained import Prepared, prepare
from rich.console import Console
from rich.table import Table
from serving_product import publish

from brain_assets.ml.datasets import image_set
from brain_assets.ml.gate_fitting import build_gate
from brain_assets.ml.image_facts import SARTAJ, KnownImages, image_facts
from brain_assets.ml.pretrained import PRETRAINED_FOLDER
from brain_assets.ml.publishing import BUNDLE_FOLDER
from brain_assets.ml.records import PromotionRecord
from brain_assets.ml.rehearsal import NO_FEEDBACK, Recipe, Rehearsal, Upload
from brain_assets.ml.training_data import TrainingConfig, config_for
from brain_core.bundle import read_champion
from brain_core.labels import CLASSES
from brain_core.storage import LocalBucket

COUNT = 60
KEPT_OF_STARVED = 0.05
"""Share of the components of the starved class that the champion was trained on."""

LATER = 0.15
"""Share of the training components that the source does not have yet: the uploads of the poisoned scenarios."""

LATER_OF_ALL = 0.03
"""The same for a retraining on all images: so few that they hold 60 groups of copies, some of every class."""

LIMIT_S = 600.0
PROMOTED_OF_FIVE = 4
STARVED = ("meningioma", "pituitary", "glioma", "notumor")
"""The class of each seed in turn."""

POISONED = ("poison-all", "poison-30")
LEARNABLE = ("starved-class", "missing-source")

console = Console(stderr=True)


@dataclass(frozen=True)
class Scenario:
    """One installation and what its readers say.

    Attributes:
        champion: name of the champion, which scenarios may share.
        missing: keys of training images that the source lacks; the uploads are some of these.
        wrong_share: of the uploads whose label is wrong.
    """

    champion: str
    missing: set[str]
    wrong_share: float = 0.0


def scenarios(
    facts: pd.DataFrame, everything: pd.DataFrame, seed: int, later_share: float = LATER
) -> dict[str, Scenario]:
    """What is played with a seed, by name: on the images that are taken, of all that there are."""
    rng = np.random.default_rng(seed)
    train = facts[facts["part"] == "train"]
    later = _components(train, later_share, rng)
    label = STARVED[seed % len(STARVED)]
    starved = train[train["label"] == label]
    kept = _components(starved, KEPT_OF_STARVED, rng)
    lacking = set(starved.index) - kept
    return {
        "poison-all": Scenario("later", later, 1.0),
        "poison-30": Scenario("later", later, 0.3),
        f"starved-class ({label})": Scenario("starved", lacking),
        "missing-source": Scenario("missing", _training_images_of(everything, SARTAJ)),
    }


def _training_images_of(everything: pd.DataFrame, source: str) -> set[str]:
    return set(everything.index[(everything["part"] == "train") & (everything["source"] == source)])


def _components(images: pd.DataFrame, share: float, rng: np.random.Generator) -> set[str]:
    numbers = images["component"].unique()
    chosen = rng.choice(numbers, max(1, round(share * len(numbers))), replace=False)
    return set(images.index[images["component"].isin(chosen)])


def uploads(bucket: LocalBucket, facts: pd.DataFrame, scenario: Scenario, seed: int) -> list[Upload]:
    """One image of each of 60 groups that the source lacks, the classes in turn; some labels are wrong."""
    rng = np.random.default_rng(seed)
    images = facts.loc[sorted(scenario.missing)].drop_duplicates("group").sample(frac=1, random_state=seed)
    turn = images.groupby("label").cumcount()
    chosen = images.loc[turn.sort_values(kind="stable").index[:COUNT]]
    wrong = set(rng.permutation(len(chosen))[: round(scenario.wrong_share * len(chosen))].tolist())
    found = []
    for place, (key, label) in enumerate(chosen["label"].items()):
        others = [name for name in CLASSES if name != label]
        told = others[int(rng.integers(len(others)))] if place in wrong else str(label)
        found.append(Upload(bucket.read(str(key)), told))
    return found


def trained_champion(installation: Rehearsal, name: str, config: TrainingConfig) -> str:
    """Version of a champion that knows the installation's source; trained once for scenarios that share it."""
    version = f"{name}-{config.seed}"
    if not installation.bucket.exists(f"models/{version}/manifest.json"):
        installation.make(version, Recipe(config), NO_FEEDBACK)
    return version


def play(installation: Rehearsal, version: str, uploaded: list[Upload], config: TrainingConfig) -> dict[str, Any]:
    """Feedback to a champion, retraining, decision: the figures."""
    installation.publish(version)
    begun = time.monotonic()
    feedback = installation.corrected(uploaded)
    again = config_for("public", is_retraining=True, architecture=config.architecture, seed=config.seed)
    record = installation.retrain(f"{version}-again-{int(begun)}", Recipe(again), feedback)
    return {**told(record), "seconds": time.monotonic() - begun, "used": int(feedback["is_used"].sum())}


def told(record: PromotionRecord) -> dict[str, Any]:
    """What the decision says."""
    by_name = {figure.name: figure for figure in record.decision.figures}
    macro = by_name["macro-F1"]
    assert macro.difference is not None
    return {
        "promoted": record.decision.is_promoted,
        "macro_f1": macro.challenger,
        "champion_macro_f1": macro.champion,
        "gain": [macro.difference.value, macro.difference.low, macro.difference.high],
        "reason": record.decision.reason,
        "failed": [rule.name for rule in record.decision.rules if not rule.passed],
    }


def fewer(prepared: Prepared, groups: int | None) -> Prepared:
    """So many groups only, of every part and class alike."""
    if groups is None:
        return prepared
    splits = prepared.splits
    order = splits.drop_duplicates("group").sample(frac=1, random_state=0)
    chosen = order.loc[order.groupby(["part", "label"]).cumcount().sort_values(kind="stable").index[:groups], "group"]
    return replace(prepared, splits=splits[splits["group"].isin(chosen)])


def saying(started: float) -> Callable[[int, int, dict[str, float]], None]:
    """Tells of every epoch on standard error."""

    def on_epoch(epoch: int, epochs: int, metrics: dict[str, float]) -> None:
        figures = f"loss {metrics['loss']:.3f}, val_loss {metrics['val_loss']:.3f}"
        console.print(f"{time.monotonic() - started:.0f} s, epoch {epoch} of {epochs}: {figures}", highlight=False)

    return on_epoch


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """All scenarios of all seeds; those that are done are read from the work folder."""
    bucket = LocalBucket(options.work)
    everything = prepare(options.data.resolve(), bucket)
    prepared = fewer(everything, options.groups)
    test = image_set(
        prepared.splits[prepared.splits["part"] == "test"].assign(origin="source"), bucket, bucket, prepared.annotations
    )
    gate = build_gate(prepared.statistics[prepared.statistics["key"].isin(prepared.splits["key"])], prepared.splits)
    tables = (prepared.splits, prepared.statistics, prepared.annotations)
    rehearsal = Rehearsal(bucket, *tables, test, gate, saying(time.monotonic()))
    all_facts = image_facts(KnownImages(everything.splits, everything.manifest, everything.annotations))
    facts = all_facts.loc[prepared.splits["key"]]
    if options.bundled:
        publish(PRETRAINED_FOLDER / BUNDLE_FOLDER, bucket)
        version, config = read_champion(bucket).version, TrainingConfig()
        scenario = scenarios(facts, all_facts, config.seed, LATER_OF_ALL)["poison-30"]
        figures = play(
            rehearsal.without(scenario.missing), version, uploads(bucket, all_facts, scenario, config.seed), config
        )
        return [{"seed": config.seed, "scenario": f"poison-30 ({version})", **figures}]
    rows = []
    for seed in range(options.seeds):
        for name, scenario in scenarios(facts, all_facts, seed).items():
            kind = name.split(" ")[0]
            if options.scenario not in {None, kind}:
                continue
            file = options.work / f"result-{seed}-{kind}.json"
            if not file.is_file():
                console.print(f"seed {seed}: {name}")
                config = TrainingConfig(options.architecture, seed=seed, epochs=options.epochs)
                installation = rehearsal.without(scenario.missing)
                version = trained_champion(installation, scenario.champion, config)
                figures = play(installation, version, uploads(bucket, all_facts, scenario, seed), config)
                file.write_text(json.dumps({"seed": seed, "scenario": name, **figures}))
            rows.append(json.loads(file.read_text()))
    return rows


def missed(rows: list[dict[str, Any]]) -> list[str]:
    """What is not as it should be."""
    found = []
    for row in rows:
        if row["scenario"].startswith("poison") and row["promoted"] and row["gain"][0] < 0:
            found.append(f"seed {row['seed']}: {row['scenario']} made a worse model the champion")
    for kind in LEARNABLE:
        promoted = [row["promoted"] for row in rows if row["scenario"].startswith(kind)]
        if sum(promoted) < PROMOTED_OF_FIVE * len(promoted) / 5:
            found.append(f"{kind}: promoted in {sum(promoted)} of {len(promoted)} seeds")
    slowest = max(row["seconds"] for row in rows)
    return [*found, f"a retraining took {slowest:.0f} s"] if slowest > LIMIT_S else found


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=14, help="of the champions")
    parser.add_argument("--architecture", default=TrainingConfig().architecture, help="of all models")
    parser.add_argument("--bundled", action="store_true", help="one retraining of the bundled model")
    parser.add_argument("--scenario", choices=(*POISONED, *LEARNABLE), help="play this one only")
    parser.add_argument("--groups", type=int, help="take so many groups of copies only")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    rows = measure(options)
    table = Table("seed", "scenario", "promoted", "macro-F1", "gain (95 %)", "s", "rules that do not hold")
    for row in rows:
        gain = "{:+.3f} ({:+.3f} to {:+.3f})".format(*row["gain"])
        before_and_after = f"{row['champion_macro_f1']:.3f} to {row['macro_f1']:.3f}"
        cells = (str(row["seed"]), row["scenario"], "yes" if row["promoted"] else "no", before_and_after, gain)
        table.add_row(*cells, f"{row['seconds']:.0f}", ", ".join(row["failed"]))
    Console(width=200).print(table)
    faults = missed(rows)
    print(json.dumps({"rows": rows, "missed": faults}))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
