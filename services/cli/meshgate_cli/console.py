"""Standard output, for the person who watches."""

import sys


def say(text: str) -> None:
    """At once, even into a pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
