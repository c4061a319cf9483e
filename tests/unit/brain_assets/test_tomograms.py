import numpy as np
import pandas as pd
import pytest

from brain_assets.ml import tomograms
from brain_assets.ml.tomograms import PUBLIC_TOMOGRAMS_FILE, detail_hashes, is_tomogram
from brain_core.descriptors import detail
from brain_core.imaging import resize
from tests.fixtures_bundle import drawn_slice


def statistics(*pictures: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"detail": [detail(picture).tobytes() for picture in pictures]})


@pytest.fixture
def known(tmp_path, monkeypatch):
    """A table that names one picture."""
    hashes = detail_hashes(statistics(drawn_slice(100, 5)))
    path = tmp_path / "known.parquet"
    pd.DataFrame({"name": ["a.jpg"], "hash": [hashes[0].tobytes()]}).to_parquet(path)
    monkeypatch.setattr(tomograms, "PUBLIC_TOMOGRAMS_FILE", path)
    tomograms._known_hashes.cache_clear()
    yield
    tomograms._known_hashes.cache_clear()


@pytest.mark.usefixtures("known")
def test_a_known_tomogram_is_recognised_also_in_another_size():
    picture = drawn_slice(100, 5)
    table = statistics(picture, resize(picture, 300), 255 - picture, picture.T)
    assert is_tomogram(table).tolist() == [True, True, False, False]


def test_drawn_slices_are_none_of_the_public_tomograms():
    assert not is_tomogram(statistics(*(drawn_slice(90 + 10 * seed, seed) for seed in range(8)))).any()


def test_no_images_are_no_tomograms():
    assert is_tomogram(statistics()).shape == (0,)


def test_the_table_of_public_tomograms_holds_names_and_hashes_and_no_pixels():
    table = pd.read_parquet(PUBLIC_TOMOGRAMS_FILE)
    assert list(table.columns) == ["name", "hash"]
    assert set(table["hash"].map(len)) == {16}
    assert table["name"].is_unique
