"""What copies and patients do to the published split, in figures, in pictures and in plain words."""

import pandas as pd

from brain_assets.ml.fingerprints import INVERSE_ORIENTATION

ALL_CLASSES = "all"
PAIR_COLUMNS = ("key", "training_key", "label", "orientation", "correlation")


def published_split_leakage(
    manifest: pd.DataFrame, groups: pd.DataFrame, patients: pd.DataFrame | None = None
) -> pd.DataFrame:
    """How many published `Testing` images are copies of `Training` images, or show a patient who is in `Training`.

    Args:
        manifest: `key`, `label`, `published_split`.
        groups: see `duplicates.duplicate_groups`.
        patients: `key` and `patient` where known; an image may have several rows.

    Returns:
        One row a class and one for `all`: `label`, `testing_images`, `leaked_images`, `leaked_share` (of the testing
        images, [0, 1]), and `upright_leaked_share`, the same without mirrored and rotated links. With `patients` also
        `known_patient_images` (testing images whose patient is known), `shared_patient_share` (of those, [0, 1]), and
        `leaked_or_shared_share` (of all testing images). Empty when nothing was published as `Testing`.
    """
    images = manifest[["key", "label", "published_split"]].merge(groups, on="key", validate="one_to_one")
    training = images[images["published_split"] == "Training"]
    testing = images[images["published_split"] == "Testing"].copy()
    testing["is_leaked"] = testing["group"].isin(training["group"])
    testing["is_upright_leaked"] = testing["upright_group"].isin(training["upright_group"])
    figures = {
        "testing_images": ("key", "size"),
        "leaked_images": ("is_leaked", "sum"),
        "leaked_share": ("is_leaked", "mean"),
        "upright_leaked_share": ("is_upright_leaked", "mean"),
    }
    if patients is not None:
        testing = _with_patients(testing, training, patients)
        figures["known_patient_images"] = ("is_patient_known", "sum")
        figures["shared_patient_share"] = ("is_patient_shared", "mean")
        figures["leaked_or_shared_share"] = ("is_leaked_or_shared", "mean")
    by_class = pd.concat([testing, testing.assign(label=ALL_CLASSES)]).groupby("label", sort=False)
    return by_class.agg(**figures).reset_index()


def leaked_pairs(manifest: pd.DataFrame, links: pd.DataFrame) -> pd.DataFrame:
    """Each published `Testing` image beside the `Training` image that is its closest copy.

    Args:
        manifest: `key`, `label`, `published_split`.
        links: see `duplicates.Duplicates.links`; only copies count.

    Returns:
        `PAIR_COLUMNS`, sorted by key: `orientation` turns the training image into the testing image, `correlation` is
        that of their thumbnails when so turned. Leaked images whose copy is only reached through a third are left out.
    """
    images = manifest[["key", "label", "published_split"]].merge(_same_pixels(manifest["key"], links), on="key")
    testing = images[images["published_split"] == "Testing"]
    training = images.loc[images["published_split"] == "Training", ["key", "original"]]
    training = training.rename(columns={"key": "training_key", "original": "training_original"})
    pairs = testing.merge(_turns(images["original"], links), on="original").merge(training, on="training_original")
    pairs = pairs.sort_values(["key", "correlation", "training_key"], ascending=[True, False, True])
    return pairs.drop_duplicates("key").reset_index(drop=True)[list(PAIR_COLUMNS)]


def _same_pixels(keys: "pd.Series[str]", links: pd.DataFrame) -> pd.DataFrame:
    """The first image of equal pixels for each key: only that one is linked with other images."""
    exact = links[links["is_exact"].astype(bool)].set_index("key_b")["key_a"]
    return pd.DataFrame({"key": keys, "original": keys.map(exact).fillna(keys)})


def _turns(originals: "pd.Series[str]", links: pd.DataFrame) -> pd.DataFrame:
    """How a `training_original` becomes an `original`, from either end of each link and for the original itself."""
    copies = links[links["is_copy"].astype(bool) & ~links["is_exact"].astype(bool)]
    names = ["training_original", "original", "orientation", "correlation"]
    forth = copies[["key_a", "key_b", "orientation", "correlation"]].set_axis(names, axis=1)
    back = copies[["key_b", "key_a", "orientation", "correlation"]].set_axis(names, axis=1)
    back["orientation"] = back["orientation"].map(INVERSE_ORIENTATION)
    itself = pd.DataFrame({"training_original": originals.unique(), "original": originals.unique()})
    return pd.concat([forth, back, itself.assign(orientation="same", correlation=1.0)], ignore_index=True)


def _with_patients(testing: pd.DataFrame, training: pd.DataFrame, patients: pd.DataFrame) -> pd.DataFrame:
    known = patients.dropna(subset=["patient"])
    trained = known.loc[known["key"].isin(training["key"]), "patient"]
    is_known = testing["key"].isin(known["key"])
    is_shared = testing["key"].isin(known.loc[known["patient"].isin(trained), "key"])
    return testing.assign(
        is_patient_known=is_known,
        # Of those only whose patient is known: the mean leaves NaN out.
        is_patient_shared=is_shared.astype(float).where(is_known),
        is_leaked_or_shared=is_shared | testing["is_leaked"],
    )
