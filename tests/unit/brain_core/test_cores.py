import os

import pytest

from brain_core.cores import usable_cores

ALL = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000", ALL),
        ("50000 100000", 1),
        ("100001 100000", min(ALL, 2)),
        ("9900000 100000", ALL),
        ("damaged", ALL),
    ],
)
def test_a_container_has_no_more_cores_than_its_share_of_time(tmp_path, quota, cores):
    (tmp_path / "cpu.max").write_text(quota)
    assert usable_cores(tmp_path / "cpu.max") == cores


def test_without_a_container_all_cores_are_usable(tmp_path):
    assert usable_cores(tmp_path / "absent") == ALL
