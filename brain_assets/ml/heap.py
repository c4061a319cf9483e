"""The C heap of a process that trains."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Names of `mallopt`, from glibc's `malloc.h`."""

KEPT_BYTES = 1 << 30


def keep_freed_memory() -> None:
    """From now on, up to a gibibyte that is freed stays with this process, ready for the next step of a training.

    TensorFlow takes its tensors from `malloc` and frees them in every step. By default glibc maps each large one anew
    and gives it back (mallopt(3)), and up to half of a step is spent on the kernel's clearing of pages. Where the C
    library is another one, nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
