"""Standard output, for the person who watches."""

import contextlib
import sys


def say(text: str) -> None:
    """At once, even into a pipe. Nobody may be left to read it: a closed terminal stops no mesh half way."""
    with contextlib.suppress(OSError):
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
