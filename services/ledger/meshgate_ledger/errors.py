"""Errors that more than one part of the ledger raises."""

from meshgate_chassis.errors import Code, MeshError


def too_slow() -> MeshError:
    """The caller's deadline came before the answer."""
    return MeshError(
        Code.DEADLINE_EXCEEDED, "LEDGER_TOO_SLOW", "the ledger did not answer within the deadline"
    )
