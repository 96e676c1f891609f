"""What the benchmark takes from its environment, and what the processes under test are given."""

import os
import sys

# Only what a program needs to run: no provider keys, proxies or telemetry of whoever starts the benchmark.
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "LD_LIBRARY_PATH")


def environment() -> dict[str, str]:
    """A copy of the little that is handed on. Bytecode may be written: a warm start reads it."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ}  # noqa: TID251 - see above


def python_folder() -> str:
    """The `bin` of the interpreter that runs us."""
    return os.path.dirname(sys.executable)  # noqa: PTH120 - a symlink must not be followed
