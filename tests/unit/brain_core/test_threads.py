import subprocess
import sys

import numpy as np
from threadpoolctl import threadpool_info

from brain_core.threads import own_threads_only

OF_A_PROCESS = """
import gc, numpy, threadpoolctl
from brain_core.threads import no_extra_threads
no_extra_threads()
gc.collect()
print({pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"} <= {1})
"""


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_linear_algebra_keeps_to_one_thread_for_a_while():
    np.ones((2, 2)) @ np.ones(2)
    before = blas_threads()
    with own_threads_only():
        assert set(blas_threads()) <= {1}
    assert blas_threads() == before


def test_linear_algebra_keeps_to_one_thread_for_good():
    ended = subprocess.run([sys.executable, "-c", OF_A_PROCESS], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "True"
