"""`meshgate ledger verify`: proves that the books balance, or names every difference."""

import asyncio
from collections.abc import Mapping

import asyncpg

from meshgate_chassis.config.problems import ConfigError
from meshgate_cli.console import say
from meshgate_cli.embedded_postgres import EmbeddedPostgresError
from meshgate_cli.ledger_database import DatabaseOptions, ledger_dsn
from meshgate_cli.mesh import UpError
from meshgate_ledger.records import usd
from meshgate_ledger.verify import Verification, verify

EXIT_BALANCED, EXIT_DIFFERENCES = 0, 1
CONNECT_TIMEOUT_S = 10.0
LABEL_WIDTH = 22


def ledger_verify(options: DatabaseOptions, environ: Mapping[str, str]) -> int:
    """Prints the totals and the differences; 1 when there is one, or nothing could be proved."""
    try:
        with ledger_dsn(options, environ) as dsn:
            found = asyncio.run(_verify(dsn))
    except (UpError, EmbeddedPostgresError, ConfigError) as error:
        say(str(error))
        return EXIT_DIFFERENCES
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError):
        say("meshgate: the database has no ledger of this version; the ledger makes it when it starts")
        return EXIT_DIFFERENCES
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        say(f"meshgate: the database does not answer: {error}")
        return EXIT_DIFFERENCES
    say(report(found))
    return EXIT_BALANCED if found.balanced else EXIT_DIFFERENCES


def report(found: Verification) -> str:
    """The totals, then one line for each difference, then the verdict."""
    totals = {
        "accounts": str(found.account_count),
        "entries": str(found.entry_count),
        "calls under way": str(found.open_hold_count),
        "entries add up to": f"{usd(found.entries_nanos)} USD",
        "of dropped entries": f"{usd(found.carried_nanos)} USD",
        "posted": f"{usd(found.posted_nanos)} USD",
        "held": f"{usd(found.pending_nanos)} USD",
    }
    lines = [f"{label:<{LABEL_WIDTH}}{value}" for label, value in totals.items()]
    lines.extend(
        f"difference: {each.what}: {each.subject}: {each.expected} expected, {each.actual} found"
        for each in found.differences
    )
    verdict = "the books balance" if found.balanced else f"differences: {len(found.differences)}"
    return "\n".join([*lines, verdict])


async def _verify(dsn: str) -> Verification:
    connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S, server_settings={"timezone": "UTC"})
    try:
        return await verify(connection)
    finally:
        await connection.close()
