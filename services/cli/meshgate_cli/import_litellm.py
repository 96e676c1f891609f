"""`meshgate import litellm`: brings keys, users, teams, budgets and spend, with equal totals, repeatably."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from meshgate_chassis.clock import SystemClock
from meshgate_chassis.config.problems import ConfigError
from meshgate_chassis.errors import MeshError
from meshgate_cli.console import say
from meshgate_cli.embedded_postgres import EmbeddedPostgresError
from meshgate_cli.ledger_database import DatabaseOptions, ledger_dsn
from meshgate_cli.litellm_convert import convert
from meshgate_cli.litellm_source import NoLiteLlmError, read_litellm
from meshgate_cli.mesh import UpError
from meshgate_cli.reach import AddressError, postgres_at
from meshgate_ledger.account_ids import account_kind
from meshgate_ledger.database import Database
from meshgate_ledger.database import DatabaseOptions as PoolOptions
from meshgate_ledger.imports.records import Brought, Foreign
from meshgate_ledger.imports.run import bring, known, would_bring
from meshgate_ledger.migrate import migrate
from meshgate_ledger.records import usd
from meshgate_ledger.verify import verify

EXIT_EQUAL, EXIT_PROBLEM = 0, 1
LONG_TIMEOUT_S = 3_600.0
NOTES_SHOWN = 20
KINDS = ("key", "user", "team", "member", "organization", "customer", "tag")


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """`url`: LiteLLM's database. `into`: ours. `dry_run`: only say what would be brought."""

    url: str
    into: DatabaseOptions
    dry_run: bool


def import_litellm(options: ImportOptions, environ: Mapping[str, str]) -> int:
    """Prints what was brought and a table of totals; 1 when one of them differs, or it could not be done."""
    try:
        postgres_at(options.url, "--database-url")
        with ledger_dsn(options.into, environ) as dsn:
            return asyncio.run(_run(options, dsn))
    except AddressError as error:
        say(f"meshgate: {error}")
    except (UpError, EmbeddedPostgresError, ConfigError, NoLiteLlmError) as error:
        say(str(error))
    except (MeshError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        say(f"meshgate: the import did not end, and may be repeated: {error}")
    return EXIT_PROBLEM


async def _run(options: ImportOptions, dsn: str) -> int:
    foreign = convert(await read_litellm(options.url))
    clock = SystemClock()
    async with Database(dsn, PoolOptions(connections_max=2), clock) as database:
        await database.use(migrate, limit_s=LONG_TIMEOUT_S)
        if options.dry_run:
            here = await known(database, foreign.source)
            _tell("would be brought", would_bring(foreign, here), foreign.notes)
            return _totals(foreign, here.brought)
        brought, refused = await bring(foreign, database, clock)
        _tell("brought", brought, (*foreign.notes, *refused))
        code = _totals(foreign, (await known(database, foreign.source)).brought)
        differences = (await database.use(verify, limit_s=LONG_TIMEOUT_S)).differences
    for each in differences:
        say(f"difference: {each.what}: {each.subject}: {each.expected} expected, {each.actual} found")
    say("the books balance" if not differences else f"differences: {len(differences)}")
    return EXIT_PROBLEM if differences or refused else code


def _tell(what: str, brought: Brought, notes: Sequence[str]) -> None:
    counts = {
        "users, teams, organizations, customers, tags, budgets": brought.entities,
        "members of teams": brought.members,
        "keys": brought.keys,
        "postings of spend": brought.postings,
        "sums of days": brought.days,
    }
    say(f"{what}: " + "; ".join(f"{count} {name}" for name, count in counts.items()))
    for note in notes[:NOTES_SHOWN]:
        say(f"note: {note}")
    if len(notes) > NOTES_SHOWN:
        say(f"note: and {len(notes) - NOTES_SHOWN} more")


def _totals(foreign: Foreign, ours: Mapping[str, int]) -> int:
    """The table; 1 when something is not equal."""
    say(f"{'':<16}{'accounts':>10}{'LiteLLM, USD':>22}{'meshgate, USD':>22}  equal")
    equal = True
    for kind in KINDS:
        theirs = {
            each.account_id: each.spend_nanos
            for each in foreign.balances
            if account_kind(each.account_id) == kind
        }
        same = all(ours.get(account_id, 0) == nanos for account_id, nanos in theirs.items())
        total = sum(ours.get(account_id, 0) for account_id in theirs)
        verdict = "yes" if same else "no"
        say(f"{kind:<16}{len(theirs):>10}{usd(sum(theirs.values())):>22}{usd(total):>22}  {verdict}")
        equal &= same
    return EXIT_EQUAL if equal else EXIT_PROBLEM
