import re
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from brain_assets.ml.policy import JudgedImages, PromotionPolicy

PAGE = Path(__file__).resolve().parents[3] / "docs" / "decisions" / "0009-promotion-policy.md"


def test_the_page_tells_every_limit_as_it_is():
    written = dict(re.findall(r"^\| `(\w+(?:\.\w+)?)` \| ([\d.e-]+) ", PAGE.read_text(), re.MULTILINE))
    policy = PromotionPolicy().model_dump()
    floors = {f"floors.{name}": value for name, value in policy.pop("floors").items()}
    assert {name: float(value) for name, value in written.items()} == policy | floors


def test_the_limits_are_fixed():
    with pytest.raises(ValidationError):
        PromotionPolicy().min_groups = 1


def test_images_without_boxes_have_none():
    images = JudgedImages.without_boxes(np.zeros(3, np.int64), np.arange(3))
    assert len(images) == 3
    assert not images.has_box.any()
