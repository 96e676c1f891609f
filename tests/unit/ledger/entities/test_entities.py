"""Users, teams, organisations, customers, tags and budgets: what is managed, and what accounts become."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from meshgate_chassis.errors import MeshError
from meshgate_ledger.entities.plan import LimitPlan
from meshgate_ledger.entities.records import Entity, EntityFilter, EntityKind, Member, Order, Page
from meshgate_ledger.records import KeyRecord
from tests.unit.ledger.entities.management import DEFAULTS, TIMEOUT_S, Management, change, management

HASH = "a" * 64
USER = EntityKind.USER
TEAM = EntityKind.TEAM


@pytest.fixture
async def books(postgres_dsn: str) -> AsyncIterator[Management]:
    async with management(postgres_dsn) as found:
        yield found


async def made(books: Management, kind: EntityKind, entity_id: str, **members: object) -> None:
    entity = Entity(kind, entity_id, **members)  # type: ignore[arg-type]
    await books.entities.create(change(), entity, TIMEOUT_S)


async def updated(books: Management, kind: EntityKind, entity_id: str, **members: object) -> None:
    await books.entities.update(
        change(),
        Entity(kind, entity_id),
        lambda before: replace(before, **members),
        TIMEOUT_S,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("kind", [each for each in EntityKind if each is not EntityKind.BUDGET])
async def test_an_entity_comes_back_with_its_account(books: Management, kind: EntityKind) -> None:
    """Rules and limits are the account's, where decisions see them."""
    plan = LimitPlan(max_budget_nanos=5, requests_per_minute=2, model_tokens_per_minute={"gpt": 3})
    entity = Entity(kind, "x", alias="X", models=("gpt",), blocked=True, limits=plan, metadata_json="{}")

    state = await books.entities.create(change(), entity, TIMEOUT_S)

    assert ("X", ("gpt",), True, plan, "tester") == (
        state.record.alias,
        state.record.models,
        state.record.blocked,
        state.plan,
        state.record.created_by,
    )
    account = await books.account(f"{kind}:x")
    assert account is not None
    assert (True, ["gpt"], ["gpt"]) == (account["blocked"], account["models"], account["limited_models"])
    assert {("spend", ""): 5, ("requests", "60s"): 2} == await books.limits(f"{kind}:x")
    assert {("tokens", "60s"): 3} == await books.limits(f"{kind}:x|model:gpt")


async def test_a_budget_has_no_account(books: Management) -> None:
    """It is a template."""
    await made(books, EntityKind.BUDGET, "b", limits=LimitPlan(max_budget_nanos=1))

    assert await books.account("budget:b") is None


async def test_an_id_is_taken_once(books: Management) -> None:
    """By kind."""
    await made(books, USER, "x")
    await made(books, TEAM, "x")

    with pytest.raises(MeshError, match="ENTITY_EXISTS"):
        await made(books, USER, "x")


async def test_a_repeat_changes_nothing(books: Management) -> None:
    """It tells what is there now; the same id for something else is refused."""
    one = change("create user")
    await books.entities.create(one, Entity(USER, "x", alias="first"), TIMEOUT_S)
    await updated(books, USER, "x", alias="second")

    state = await books.entities.create(one, Entity(USER, "x", alias="third"), TIMEOUT_S)

    assert "second" == state.record.alias
    with pytest.raises(MeshError, match="REQUEST_ID_USED"):
        await books.entities.delete(replace(one, action="delete user"), USER, ["x"], TIMEOUT_S)


async def test_an_update_changes_the_account(books: Management) -> None:
    """Its version too, so that the next reservation sees it; money stays, parts for models come and go."""
    await made(books, USER, "x", limits=LimitPlan(max_budget_nanos=5, model_requests_per_minute={"a": 1}))
    await books.spend("user:x", 3)
    before = await books.account("user:x")

    await updated(
        books,
        USER,
        "x",
        blocked=True,
        limits=LimitPlan(max_budget_nanos=6, model_requests_per_minute={"b": 2}),
    )

    after = await books.account("user:x")
    assert before is not None and after is not None
    assert after["version"] > before["version"]
    assert (True, 3) == (after["blocked"], after["posted_nanos"])
    assert {("spend", ""): 6} == await books.limits("user:x")
    assert {} == await books.limits("user:x|model:a")
    assert {("requests", "60s"): 2} == await books.limits("user:x|model:b")


async def test_what_does_not_exist(books: Management) -> None:
    """Is not found, unless it may be made."""
    for does in (
        books.entities.get(USER, "x", TIMEOUT_S),
        books.entities.delete(change(), USER, ["x"], TIMEOUT_S),
        books.entities.update(change(), Entity(USER, "x"), lambda each: each, TIMEOUT_S),
    ):
        with pytest.raises(MeshError, match="ENTITY_NOT_FOUND"):
            await does
    with pytest.raises(MeshError, match="BUDGET_NOT_FOUND"):
        await made(books, USER, "x", budget_id="none")

    await books.entities.update(
        change(),
        Entity(EntityKind.CUSTOMER, "c"),
        lambda before: replace(before, blocked=True),
        TIMEOUT_S,
        allow_missing=True,
    )
    account = await books.account("customer:c")
    assert account is not None and account["blocked"]


async def test_a_budget_is_shared(books: Management) -> None:
    """Its limits hold where somebody has none of their own; changed and deleted for everybody at once."""
    await made(books, EntityKind.BUDGET, "b", limits=LimitPlan(max_budget_nanos=5, requests_per_minute=9))
    await made(books, USER, "u", budget_id="b", limits=LimitPlan(requests_per_minute=1))
    await made(books, TEAM, "t")
    await books.members.put(change(), "t", {"u": lambda member: replace(member, budget_id="b")}, TIMEOUT_S)
    await books.keys.create("r", KeyRecord(HASH, budget_id="b"), TIMEOUT_S)
    accounts = ("user:u", "member:t/u", f"key:{HASH}")
    version = (await books.keys.get(HASH, TIMEOUT_S)).record.version  # type: ignore[union-attr]

    assert {("spend", ""): 5, ("requests", "60s"): 1} == await books.limits("user:u")
    await updated(books, EntityKind.BUDGET, "b", limits=LimitPlan(max_budget_nanos=6))
    assert [6, 6, 6] == [(await books.limits(each))["spend", ""] for each in accounts]
    assert {("spend", ""): 6, ("requests", "60s"): 1} == await books.limits("user:u")
    assert {("spend", ""): 6} == await books.limits("member:t/u")
    assert (await books.keys.get(HASH, TIMEOUT_S)).record.version > version  # type: ignore[union-attr]

    await books.entities.delete(change(), EntityKind.BUDGET, ["b"], TIMEOUT_S)
    assert [{("requests", "60s"): 1}, {}, {}] == [await books.limits(each) for each in accounts]
    assert "" == (await books.entities.get(USER, "u", TIMEOUT_S)).record.budget_id


async def test_deleted_entities_leave_their_money(books: Management) -> None:
    """With users and teams go keys and memberships; accounts stay, without rules and limits."""
    await made(books, TEAM, "t", blocked=True, limits=LimitPlan(max_budget_nanos=5))
    await books.members.put(
        change(), "t", {"u": lambda each: replace(each, limits=LimitPlan(max_budget_nanos=1))}, TIMEOUT_S
    )
    await books.keys.create("r", KeyRecord(HASH, user_id="u", team_id="t"), TIMEOUT_S)
    await books.spend("team:t", 4)

    assert ("t",) == await books.entities.delete(change(), TEAM, ["t", "none"], TIMEOUT_S)

    account = await books.account("team:t")
    assert account is not None
    assert (4, False) == (account["posted_nanos"], account["blocked"])
    assert {} == await books.limits("team:t") == await books.limits("member:t/u")
    assert await books.keys.get(HASH, TIMEOUT_S) is None
    assert ([], 0) == await books.members.page(["t"], [], Page(), TIMEOUT_S)


async def test_an_organization_is_that_of_its_teams_keys(books: Management) -> None:
    """Also of those that were made before the team was moved."""
    await made(books, EntityKind.ORGANIZATION, "o1")
    await made(books, TEAM, "t", organization_id="o1")
    await books.keys.create("r", KeyRecord(HASH, team_id="t"), TIMEOUT_S)
    assert "o1" == (await books.keys.get(HASH, TIMEOUT_S)).record.organization_id  # type: ignore[union-attr]

    await updated(books, TEAM, "t", organization_id="o2")
    assert "o2" == (await books.keys.get(HASH, TIMEOUT_S)).record.organization_id  # type: ignore[union-attr]


async def test_usage_is_that_of_the_period(books: Management) -> None:
    """As soon as it is over, also before anybody calls; the whole is told besides."""
    await made(
        books,
        USER,
        "u",
        limits=LimitPlan(max_budget_nanos=9, budget_period="1d", model_requests_per_minute={"m": 1}),
    )
    await books.spend("user:u", 4)
    await books.spend("user:u|model:m", 3)

    used = (await books.entities.get(USER, "u", TIMEOUT_S)).usage
    assert (4, 4, {"m": 3}) == (used.spend_nanos, used.total_spend_nanos, used.model_spend_nanos)
    assert used.budget_reset_at is not None
    books.clock.advance(86_400.0)

    later = (await books.entities.get(USER, "u", TIMEOUT_S)).usage
    assert (0, 4) == (later.spend_nanos, later.total_spend_nanos)
    assert later.budget_reset_at is not None and later.budget_reset_at > used.budget_reset_at


async def test_lists_are_filtered_sorted_and_paged(books: Management) -> None:
    """Texts of clients are only compared."""
    for number, alias in enumerate(("Ada", "bob", "%_", "ADAM"), start=1):
        await made(books, USER, f"u{number}", alias=alias, email=f"{alias}@x", role="internal_user")
        books.clock.advance(1.0)
    await books.spend("user:u2", 5)
    await made(books, TEAM, "t")
    await books.members.put(change(), "t", {"u1": lambda each: each}, TIMEOUT_S)

    async def ids(wanted: EntityFilter, page: Page) -> tuple[list[str], int]:
        states, total = await books.entities.page(wanted, page, TIMEOUT_S)
        return [state.record.entity_id for state in states], total

    everybody = EntityFilter(USER)
    assert (["u4", "u3"], 4) == await ids(everybody, Page(size=2))
    assert (["u2", "u1"], 4) == await ids(everybody, Page(number=2, size=2))
    assert ([], 4) == await ids(everybody, Page(number=9, size=2))
    assert (["u2"], 4) == await ids(everybody, Page(size=1, order=Order.SPEND))
    assert (["u1", "u4"], 2) == await ids(
        EntityFilter(USER, alias_contains="ada"), Page(order=Order.ID, descending=False)
    )
    assert (["u3"], 1) == await ids(EntityFilter(USER, alias_contains="%"), Page())
    assert (["u2"], 1) == await ids(EntityFilter(USER, email_contains="BOB@"), Page())
    assert ([], 0) == await ids(EntityFilter(USER, role="proxy_admin"), Page())
    assert (["u2"], 1) == await ids(EntityFilter(USER, entity_ids=("u2", "x")), Page())
    assert (["t"], 1) == await ids(EntityFilter(TEAM, member_user_id="u1"), Page())
    assert ([], 0) == await ids(EntityFilter(TEAM, member_user_id="u2"), Page())


async def test_members_have_limits_of_their_own_or_the_teams(books: Management) -> None:
    """A change of the team's reaches those that have none."""
    await made(books, TEAM, "t", member_limits=LimitPlan(max_budget_nanos=5, requests_per_minute=2))
    put = {
        "own": lambda each: replace(each, limits=LimitPlan(max_budget_nanos=1), role="admin"),
        "none": lambda each: each,
    }
    states = await books.members.put(change(), "t", put, TIMEOUT_S)

    assert [("none", "user"), ("own", "admin")] == [
        (each.record.user_id, each.record.role) for each in states
    ]
    assert {("spend", ""): 1, ("requests", "60s"): 2} == await books.limits("member:t/own")
    assert {("spend", ""): 5, ("requests", "60s"): 2} == await books.limits("member:t/none")
    assert USER == (await books.entities.get(USER, "own", TIMEOUT_S)).record.kind

    await updated(books, TEAM, "t", member_limits=LimitPlan(max_budget_nanos=7))
    assert {("spend", ""): 1} == await books.limits("member:t/own")
    assert {("spend", ""): 7} == await books.limits("member:t/none")

    assert ("none",) == await books.members.remove(change(), "t", ["none", "stranger"], TIMEOUT_S)
    assert {} == await books.limits("member:t/none")
    with pytest.raises(MeshError, match="MEMBER_NOT_FOUND"):
        await books.members.remove(change(), "t", ["none"], TIMEOUT_S)
    with pytest.raises(MeshError, match="MEMBER_NOT_FOUND"):
        await books.members.put(change(), "t", {"none": lambda each: each}, TIMEOUT_S, must_exist=True)
    with pytest.raises(MeshError, match="ENTITY_NOT_FOUND"):
        await books.members.put(change(), "no-team", {"u": lambda each: each}, TIMEOUT_S)
    assert Member("t", "own", "admin", limits=LimitPlan(max_budget_nanos=1)) == (
        (await books.members.page(["t"], [], Page(), TIMEOUT_S))[0][0].record
    )


async def test_defaults_are_for_those_who_come_without_limits(postgres_dsn: str) -> None:
    """Also for a user whom only a key names."""
    async with management(postgres_dsn, DEFAULTS) as books:
        await made(books, USER, "plain")
        await made(books, USER, "own", limits=LimitPlan(requests_per_minute=1))
        await books.keys.create("r", KeyRecord(HASH, user_id="named"), TIMEOUT_S)

        assert {("spend", ""): 77} == await books.limits("user:plain") == await books.limits("user:named")
        assert {("requests", "60s"): 1} == await books.limits("user:own")


async def test_changes_at_the_same_time_are_all_made(postgres_dsn: str) -> None:
    """By several replicas, on accounts that belong together: nothing is lost, nothing locks up."""
    async with management(postgres_dsn) as one, management(postgres_dsn) as other:
        await made(one, EntityKind.BUDGET, "b", limits=LimitPlan(max_budget_nanos=1))
        works = []
        for number in range(12):
            books = (one, other)[number % 2]
            works.append(made(books, USER, f"u{number}", budget_id="b"))
            works.append(updated(books, EntityKind.BUDGET, "b", limits=LimitPlan(max_budget_nanos=number)))
        await asyncio.gather(*works)

        final = (await one.entities.get(EntityKind.BUDGET, "b", TIMEOUT_S)).record.limits.max_budget_nanos
        assert {final} == {(await one.limits(f"user:u{number}"))["spend", ""] for number in range(12)}
