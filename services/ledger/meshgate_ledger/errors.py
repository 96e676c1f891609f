"""Errors that more than one part of the ledger raises."""

import asyncpg

from meshgate_chassis.errors import Code, MeshError

# What PostgreSQL or asyncpg say about a value that the checks before did not catch.
REFUSALS = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)


def too_slow() -> MeshError:
    """The caller's deadline came before the answer."""
    return MeshError(
        Code.DEADLINE_EXCEEDED, "LEDGER_TOO_SLOW", "the ledger did not answer within the deadline"
    )


def value_refused(error: asyncpg.PostgresError) -> MeshError:
    """INVALID_ARGUMENT/FIELD_INVALID for one of REFUSALS."""
    return MeshError(
        Code.INVALID_ARGUMENT,
        "FIELD_INVALID",
        f"the database refuses a value of this request ({type(error).__name__})",
    )
