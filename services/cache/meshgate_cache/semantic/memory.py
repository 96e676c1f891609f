"""Gives memory that was freed back to the system, where the C library is glibc.

glibc raises its own limits for that with every large block that is freed, up to 32 MB: what a start or a long
text needed once stays with the process, because small lasting blocks lie in between. With fixed limits the
service takes 40 MB less.
"""

import ctypes
from typing import Final

_TRIM_THRESHOLD: Final = -1  # M_TRIM_THRESHOLD of <malloc.h>
_MMAP_THRESHOLD: Final = -3  # M_MMAP_THRESHOLD
_BLOCK_BYTES: Final = 128 * 1024  # glibc's own start values


def give_back_freed_memory() -> bool:
    """For the whole process; False where there is no such setting. Call it before memory is used."""
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(set_option(_MMAP_THRESHOLD, _BLOCK_BYTES) and set_option(_TRIM_THRESHOLD, _BLOCK_BYTES))
