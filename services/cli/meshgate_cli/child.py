"""Runs a module as `python -m` does, in a process that ends when its parent does, however that ends.

    python -P -m meshgate_cli.child PARENT_PROCESS_ID MODULE [ARGUMENT ...]

Linux only; elsewhere a killed supervisor leaves its services running until they are stopped by hand.
"""

import ctypes
import os
import runpy
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_NAME = 15
NAME_BYTES_MAX = 15
EXIT_ORPHAN = 71


def main(arguments: list[str]) -> None:
    parent_process_id, module, *rest = arguments
    if sys.platform == "linux":
        _end_with_parent(int(parent_process_id), module)
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with_parent(parent_process_id: int, module: str) -> None:
    """SIGTERM at the parent's end, so that streams are finished and money is settled even then."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_process_id:  # it ended before the call above
        sys.exit(EXIT_ORPHAN)
    name = module.replace("meshgate_", "mg-", 1).encode()[:NAME_BYTES_MAX]
    prctl(PR_SET_NAME, name, 0, 0, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
