"""Fixtures of the data half."""

from tests.fixtures_images import image_folder, real_subset

__all__ = ["image_folder", "real_subset"]
