"""`meshgate import litellm`: equal totals, keys that work, and a second run that changes nothing."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import asyncpg
import pytest

from meshgate_cli.__main__ import main
from tests.support.postgres import DatabaseServer, postgres_server
from tests.unit.cli.litellm_schema import add, make_tables
from tests.unit.ledger.subject import books, open_ledger

__all__ = ["postgres_server"]

T = TypeVar("T")

EVE = hashlib.sha256(b"sk-of-eve").hexdigest()
BOB = hashlib.sha256(b"sk-of-bob").hexdigest()
OLD = hashlib.sha256(b"sk-plain-of-old").hexdigest()
RESET = datetime(2099, 1, 1)  # noqa: DTZ001 - LiteLLM keeps times so


@dataclass(frozen=True, slots=True)
class Both:
    """Two databases: theirs, and ours, with what a test does to them."""

    theirs: str
    ours: str

    def change(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        return asyncio.run(_with(self.theirs, work))

    def look(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        async def fetch(connection: asyncpg.Connection) -> list[tuple[Any, ...]]:
            return [tuple(row) for row in await connection.fetch(query, *values)]

        return asyncio.run(_with(self.ours, fetch))

    def run(self, *more: str) -> int:
        return main(["import", "litellm", "--database-url", self.theirs, "--into", self.ours, *more])


async def _with(dsn: str, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
    connection = await asyncpg.connect(dsn, server_settings={"timezone": "UTC"})
    try:
        return await work(connection)
    finally:
        await connection.close()


@pytest.fixture
def both(postgres_server: DatabaseServer) -> Iterator[Both]:
    """A LiteLLM with one of everything, and an empty ledger."""
    made = Both(postgres_server.new_database(migrated=False), postgres_server.new_database())
    made.change(fill)
    yield made
    postgres_server.drop_database(made.theirs)
    postgres_server.drop_database(made.ours)


async def fill(connection: asyncpg.Connection) -> None:
    """One of everything."""
    await make_tables(connection)
    await fill_entities(connection)
    await fill_keys(connection)
    await fill_history(connection)


async def fill_entities(connection: asyncpg.Connection) -> None:
    await add(connection, "BudgetTable", budget_id="b1", max_budget=2.5, budget_duration="30d", rpm_limit=9)
    await add(
        connection,
        "OrganizationTable",
        organization_id="o",
        organization_alias="Org",
        budget_id="b1",
        spend=3.0,
    )
    await add(
        connection,
        "UserTable",
        user_id="eve",
        user_email="eve@x.org",
        user_role="internal_user",
        spend=1.1,
        max_budget=100.0,
        models=["all-proxy-models"],
    )
    await add(
        connection,
        "TeamTable",
        team_id="t",
        team_alias="Team",
        organization_id="o",
        spend=0.3,
        tpm_limit=1_000,
        blocked=True,
        models=["gpt-4o"],
        members_with_roles=[{"user_id": "eve", "role": "admin"}, {"user_id": "bob", "role": "user"}],
    )
    await add(connection, "TeamMembership", user_id="bob", team_id="t", spend=0.2, budget_id="b1")
    await add(connection, "EndUserTable", user_id="customer", spend=0.000000001, blocked=True)
    await add(connection, "TagTable", tag_name="tag", spend=7.0)


async def fill_keys(connection: asyncpg.Connection) -> None:
    await add(
        connection,
        "VerificationToken",
        token=EVE,
        key_name="sk-...feve",
        key_alias="bot",
        user_id="eve",
        spend=0.1 + 0.2,  # 0.30000000000000004
        max_budget=1.0,
        budget_duration="1d",
        budget_reset_at=RESET,
        metadata={"tags": ["x"], "model_rpm_limit": {"gpt-4o": 5}},
        model_max_budget={"gpt-4o": {"budget_limit": 0.5, "time_period": "1d"}},
        models=["gpt-4o"],
        aliases={"mini": "gpt-4o"},
        allowed_routes=["llm_api_routes", "/key/info"],
    )
    await add(
        connection, "VerificationToken", token=BOB, key_alias="bot", team_id="t", spend=0.0, blocked=True
    )
    await add(connection, "VerificationToken", token="sk-plain-of-old", spend=12.5, expires=RESET)
    await add(connection, "VerificationToken", token="not a hash", spend=1.0)


async def fill_history(connection: asyncpg.Connection) -> None:
    sums = {"model": "openai/gpt-4o", "model_group": "gpt", "custom_llm_provider": "openai"}
    for day, spend in (("2026-01-01", 0.1), ("2026-01-02", 0.2)):
        counts = {"spend": spend, "api_requests": 2, "failed_requests": 1, "prompt_tokens": 10}
        await add(connection, "DailyUserSpend", user_id="eve", date=day, api_key=EVE, **sums, **counts)
        await add(connection, "DailyTagSpend", tag="x", date=day, api_key=EVE, **sums, **counts)
    for number, day in enumerate((2, 3, 3)):
        await add(
            connection,
            "SpendLogs",
            request_id=f"r{number}",
            api_key=EVE,
            spend=0.05,
            startTime=datetime(2026, 1, day, 23),  # noqa: DTZ001
            user="eve",
            end_user="customer",
            status="failure" if number == 1 else "success",
            cache_hit="True" if number == 2 else "False",
            request_tags=["x", "User-Agent: curl"],
            **sums,
        )


BALANCES = {
    f"key:{EVE}": 300_000_000,
    f"key:{OLD}": 12_500_000_000,
    "user:eve": 1_100_000_000,
    "team:t": 300_000_000,
    "member:t/bob": 200_000_000,
    "organization:o": 3_000_000_000,
    "customer:customer": 1,
    "tag:tag": 7_000_000_000,
}
POSTED = "SELECT account_id, posted_nanos FROM ledger.accounts WHERE posted_nanos <> 0"
EVERYTHING = (
    "SELECT (SELECT count(*) FROM ledger.entries), (SELECT count(*) FROM ledger.changes), "
    "(SELECT sum(xmin::text::bigint) FROM ledger.accounts), "
    "(SELECT sum(xmin::text::bigint) FROM ledger.keys), "
    "(SELECT sum(xmin::text::bigint) FROM ledger.daily_spend), (SELECT max(updated_at) FROM ledger.entities)"
)


def test_totals_are_equal(both: Both, capsys: pytest.CaptureFixture[str]) -> None:
    """Every balance to the nano-USD; the table says so, and the books balance."""
    assert 0 == both.run()
    told = capsys.readouterr().out
    assert BALANCES == dict(both.look(POSTED))
    lines = [" ".join(line.split()) for line in told.splitlines()]
    assert "key 3 12.8 12.8 yes" in lines
    assert "user 1 1.1 1.1 yes" in lines
    assert "customer 1 0.000000001 0.000000001 yes" in lines
    assert "the books balance" == lines[-1]
    assert "note: key '': its token is no SHA-256" in told
    assert asyncio.run(books(both.ours)).balanced


def test_a_second_run_changes_nothing(both: Both, capsys: pytest.CaptureFixture[str]) -> None:
    """Not a row is written again."""
    assert 0 == both.run()
    before = both.look(EVERYTHING)
    capsys.readouterr()
    assert 0 == both.run()
    assert before == both.look(EVERYTHING)
    assert "0 keys; 0 postings of spend; 0 sums of days" in capsys.readouterr().out


def test_a_later_run_brings_what_is_new(both: Both) -> None:
    """More spend, a new key, a new day; less spend after a reset there; what was changed here stays."""
    assert 0 == both.run()

    async def later(connection: asyncpg.Connection) -> None:
        await connection.execute(
            'UPDATE "LiteLLM_VerificationToken" SET spend = 0.4, models = NULL WHERE token = $1', EVE
        )
        await connection.execute('UPDATE "LiteLLM_TeamTable" SET spend = 0.1')
        await add(connection, "VerificationToken", token="c" * 64, spend=5.0)
        await add(connection, "DailyUserSpend", date="2026-01-04", api_key=EVE, spend=0.1, api_requests=1)

    both.change(later)
    assert 0 == both.run()
    wanted = {f"key:{EVE}": 400_000_000, "team:t": 100_000_000, f"key:{'c' * 64}": 5_000_000_000}
    assert BALANCES | wanted == dict(both.look(POSTED))
    assert [(["gpt-4o"],)] == both.look("SELECT models FROM ledger.keys WHERE key_hash = $1", EVE)
    assert asyncio.run(books(both.ours)).balanced


def test_old_keys_work(both: Both) -> None:
    """By the secret that people have; with their budget, of which is used what was used there."""
    assert 0 == both.run()

    async def use() -> tuple[Any, ...]:
        async with open_ledger(both.ours) as subject:
            state = await subject.keys.get(EVE, 20.0)
            assert state is not None
            return state.record, state.plan, state.usage

    record, plan, usage = asyncio.run(use())
    assert ("bot", "eve", ("gpt-4o",), ("x",)) == (
        record.key_alias,
        record.user_id,
        record.models,
        record.tags,
    )
    assert ("llm_api_routes", "/key/info") == record.allowed_routes
    assert (1_000_000_000, "1d", {"gpt-4o": 5}) == (
        plan.max_budget_nanos,
        plan.budget_period,
        dict(plan.model_requests_per_minute),
    )
    assert (300_000_000, 2099) == (usage.spend_nanos, usage.budget_reset_at.year)
    keys = both.look("SELECT key_hash, key_alias, blocked, team_id FROM ledger.keys ORDER BY key_alias")
    assert (BOB, f"bot-{BOB[:8]}", True, "t") in keys
    assert (OLD, "", False, "") in keys


def test_users_teams_and_budgets(both: Both) -> None:
    """With their limits, members and rules."""
    assert 0 == both.run()
    kinds = both.look("SELECT kind, entity_id, alias, email FROM ledger.entities ORDER BY kind, entity_id")
    assert [
        ("budget", "b1", "", ""),
        ("customer", "customer", "", ""),
        ("organization", "o", "Org", ""),
        ("tag", "tag", "", ""),
        ("team", "t", "Team", ""),
        ("user", "bob", "", ""),
        ("user", "eve", "", "eve@x.org"),
    ] == kinds
    rules = both.look(
        "SELECT account_id, blocked, models FROM ledger.accounts WHERE kind IN ('team', 'user')"
    )
    assert {("team:t", True, "gpt-4o"), ("user:eve", False, ""), ("user:bob", False, "")} == {
        (account_id, blocked, ",".join(models)) for account_id, blocked, models in rules
    }
    limits = both.look("SELECT account_id, metric, period, maximum FROM ledger.limits")
    assert {
        ("team:t", "tokens", "60s", 1_000),
        ("user:eve", "spend", "", 100_000_000_000),
        ("member:t/bob", "spend", "30d", 2_500_000_000),
        ("organization:o", "requests", "60s", 9),
        (f"key:{EVE}|model:gpt-4o", "spend", "1d", 500_000_000),
    } <= set(limits)
    members = both.look("SELECT user_id, role FROM ledger.team_members ORDER BY user_id")
    assert [("bob", "user"), ("eve", "admin")] == members


def test_history_by_day(both: Both) -> None:
    """Each day from the source that knows more of it: daily tables, and calls where those have nothing."""
    assert 0 == both.run()
    days = both.look(
        "SELECT day::text, spend_nanos, requests, failures, cache_hits, model, user_id, imported "
        "FROM ledger.daily_spend ORDER BY day"
    )
    assert [
        ("2026-01-01", 100_000_000, 2, 1, 0, "gpt-4o", "eve", True),
        ("2026-01-02", 200_000_000, 2, 1, 0, "gpt-4o", "eve", True),
        ("2026-01-03", 100_000_000, 2, 1, 1, "gpt-4o", "eve", True),
    ] == days
    labels = both.look(
        "SELECT kind, label, sum(spend_nanos)::bigint FROM ledger.daily_label_spend "
        "GROUP BY 1, 2 ORDER BY 1, 2"
    )
    assert [
        ("end_user", "customer", 150_000_000),
        ("tag", "User-Agent: curl", 100_000_000),
        ("tag", "x", 400_000_000),
    ] == labels


def test_a_dry_run_writes_nothing(both: Both, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what would be brought, and that nothing is equal yet."""
    before = both.look(EVERYTHING)
    assert 1 == both.run("--dry-run")
    assert before == both.look(EVERYTHING)
    told = capsys.readouterr().out
    assert "would be brought: 6 users" in told
    assert "3 keys; 9 postings of spend" not in told  # one key has spent nothing
    assert "3 keys; 8 postings of spend" in told


def test_older_versions_and_no_litellm_at_all(
    postgres_server: DatabaseServer, both: Both, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tables and columns that are not there are empty; a database that is none is told."""
    old = Both(postgres_server.new_database(migrated=False), both.ours)

    async def early(connection: asyncpg.Connection) -> None:
        await connection.execute(
            'CREATE TABLE "LiteLLM_VerificationToken" (token text PRIMARY KEY, spend double precision)'
        )
        await add(connection, "VerificationToken", token=EVE, spend=0.5)

    old.change(early)
    assert 0 == old.run()
    assert [(500_000_000,)] == both.look(
        "SELECT posted_nanos FROM ledger.accounts WHERE account_id = $1", f"key:{EVE}"
    )
    capsys.readouterr()
    assert 1 == main(["import", "litellm", "--database-url", both.ours, "--into", both.ours])
    assert "there are no tables of LiteLLM" in capsys.readouterr().out
