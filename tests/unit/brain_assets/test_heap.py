import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
from ctypes import CDLL, c_size_t, c_void_p
from brain_assets.ml.heap import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
libc = CDLL(None)
libc.malloc.restype = c_void_p

def faults():
    began = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    memory = libc.malloc(c_size_t(64 << 20))
    libc.memset(c_void_p(memory), 1, c_size_t(64 << 20))
    libc.free(c_void_p(memory))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - began

faults()
print(faults())
"""


def faults_of_the_second_time(mode: str) -> int:
    """Page faults of a process that takes 64 MiB, gives them back and takes them again."""
    done = subprocess.run([sys.executable, "-c", FAULTS, mode], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc only")
def test_memory_that_was_freed_is_taken_again_without_a_page_fault():
    assert faults_of_the_second_time("kept") < 10 < faults_of_the_second_time("default")
