"""Calls while the ledger is away: who may go on, and what is remembered for it."""

import asyncio
from hashlib import sha256

import pytest

from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.call import Principal
from meshgate_edge.circuit import Circuit
from meshgate_edge.money.account_memory import AccountMemory, MemoryLimits
from meshgate_edge.money.offline import Outage, OutageRules
from meshgate_edge.principal import principal_message
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from tests.support.clock import ManualClock
from tests.unit.edge.closing_stand_in import away

KEY = Principal("virtual_key", "a" * 64)
OTHER = Principal("virtual_key", "b" * 64)
MASTER = Principal("master", "f" * 64)


class Noted:
    """A spool that remembers what was intended."""

    def __init__(self) -> None:
        self.intents: list[pb.SettleSpendRequest] = []

    async def intend(self, estimate: pb.SettleSpendRequest) -> None:
        self.intents.append(estimate)


class Subject:
    """The policy with its memory."""

    def __init__(
        self, *, allow: bool = True, callers_max: int = 10, blocked: frozenset[str] = frozenset()
    ) -> None:
        self.clock = ManualClock()
        self.memory = AccountMemory(MemoryLimits(callers_max, age_s_max=3_600), self.clock)
        self.spool = Noted()
        rules = OutageRules(allow, default_output_tokens=50, blocked=blocked)
        self.outage = Outage(rules, self.memory, Circuit("ledger", self.clock), self.clock, self.spool)

    def admit(self, principal: Principal = KEY, model: str = "gpt", **account: object) -> None:
        answer = pb.ReserveSpendResponse(
            decision=pb.DECISION_GRANTED,
            resolved_model=f"real-{model}",
            account=pb.Account(key_hash=principal.key_hash, **account),  # type: ignore[arg-type]
        )
        self.outage.decided(principal, request(principal, model), answer)

    async def offline(
        self, principal: Principal = KEY, model: str = "gpt", error: MeshError | None = None, **more: object
    ) -> pb.ReserveSpendResponse:
        asked = request(principal, model, **more)
        return await self.outage.answer(principal, asked, error or away(), "aembedding")

    async def refused(self, principal: Principal = KEY, model: str = "gpt", **more: object) -> str:
        with pytest.raises(MeshError) as caught:
            await self.offline(principal, model, **more)
        assert [] == self.spool.intents
        return caught.value.reason


def request(principal: Principal, model: str, **more: object) -> pb.ReserveSpendRequest:
    options: dict[str, object] = {"prompt_tokens": 10} | more
    return pb.ReserveSpendRequest(
        request_id="r1",
        principal=principal_message(principal),
        model=model,
        **options,  # type: ignore[arg-type]
    )


async def test_whom_the_ledger_admitted_goes_on_and_it_is_noted_first() -> None:
    """To the model it was admitted to, with an estimate that would be billed if nobody said more."""
    subject = Subject()
    subject.admit(team_id="t")
    answer = await subject.offline(choice_count=2)
    assert (pb.DECISION_GRANTED, "real-gpt", "t") == (
        answer.decision,
        answer.resolved_model,
        answer.account.team_id,
    )
    noted = subject.spool.intents[0]
    assert (True, True, "EDGE_LOST") == (noted.offline, noted.estimated, noted.error_reason)
    assert (10, 100) == (noted.tokens.prompt_tokens, noted.tokens.completion_tokens)
    assert "aembedding" == noted.call_type


async def test_deny_refuses_everybody_with_a_clear_error() -> None:
    """The master key, too."""
    subject = Subject(allow=False)
    subject.admit()
    subject.admit(MASTER)
    assert "LEDGER_UNAVAILABLE" == await subject.refused()
    assert "LEDGER_UNAVAILABLE" == await subject.refused(MASTER)


async def test_the_master_key_and_open_mode_need_not_be_known() -> None:
    """Nobody can revoke them."""
    subject = Subject()
    assert "gpt" == (await subject.offline(MASTER)).resolved_model
    assert "open" == (await subject.offline(Principal("open"))).account.tenant_id


async def test_an_unknown_key_is_not_told_that_it_is_wrong() -> None:
    """It may well be right."""
    subject = Subject()
    subject.admit(OTHER)
    assert "LEDGER_UNAVAILABLE" == await subject.refused(KEY)


async def test_another_model_only_by_the_keys_own_list() -> None:
    """And not when a team or a user could narrow it."""
    subject = Subject()
    subject.admit(models=["gpt", "claude-*"], aliases={"short": "claude-3"})
    assert "claude-9" == (await subject.offline(model="claude-9")).resolved_model
    assert "claude-3" == (await subject.offline(model="short")).resolved_model
    subject.spool.intents.clear()
    assert "LEDGER_UNAVAILABLE" == await subject.refused(model="gemini")
    subject.admit(OTHER, user_id="u")
    assert "LEDGER_UNAVAILABLE" == await subject.refused(OTHER, "claude-9")


@pytest.mark.parametrize(
    "account_id", [f"key:{KEY.key_hash}", "user:u", "team:t", "member:t/u", "organization:o"]
)
async def test_a_change_of_any_account_of_the_caller_is_forgotten(account_id: str) -> None:
    """Blocked anywhere is blocked here; others stay."""
    subject = Subject()
    subject.admit(user_id="u", team_id="t", organization_id="o")
    subject.admit(OTHER, user_id="x")
    subject.memory.changed([account_id, "user:nobody"])
    assert "LEDGER_UNAVAILABLE" == await subject.refused()
    await subject.offline(OTHER)


async def test_in_doubt_until_confirmed() -> None:
    """While notices may have been lost nobody goes on, and who is confirmed does again."""
    subject = Subject()
    subject.admit()
    subject.memory.doubt()
    assert "LEDGER_UNAVAILABLE" == await subject.refused()
    assert [KEY] == list(subject.memory.in_doubt(10))
    subject.memory.confirmed(KEY, pb.Account(key_hash=KEY.key_hash, models=["gpt"]))
    assert "gpt" == (await subject.offline()).resolved_model


async def test_what_a_team_narrowed_meanwhile_is_not_known() -> None:
    """Confirmed is the key; what its team allows shows when it is admitted again."""
    subject = Subject()
    subject.admit(team_id="t")
    subject.memory.doubt()
    subject.memory.confirmed(KEY, pb.Account(key_hash=KEY.key_hash, team_id="t"))
    assert "LEDGER_UNAVAILABLE" == await subject.refused()
    subject.admit(team_id="t")
    await subject.offline()


@pytest.mark.parametrize(
    "reason", [pb.Denial.REASON_KEY_UNKNOWN, pb.Denial.REASON_KEY_BLOCKED, pb.Denial.REASON_ACCOUNT_BLOCKED]
)
async def test_who_is_refused_is_forgotten(reason: "pb.Denial.Reason.ValueType") -> None:
    """The ledger's last word counts."""
    subject = Subject()
    subject.admit()
    denial = pb.ReserveSpendResponse(decision=pb.DECISION_DENIED, denial=pb.Denial(reason=reason))
    subject.outage.decided(KEY, request(KEY, "gpt"), denial)
    assert "LEDGER_UNAVAILABLE" == await subject.refused()


async def test_a_key_does_not_outlive_its_expiry_nor_the_memory_its_age() -> None:
    """Both by the clock of this machine."""
    subject = Subject()
    account = pb.Account()
    account.expire_time.FromNanoseconds(subject.clock.now_ns() + 60 * 10**9)
    subject.admit(expire_time=account.expire_time)
    subject.admit(OTHER)
    subject.clock.advance(61)
    assert "LEDGER_UNAVAILABLE" == await subject.refused()
    await subject.offline(OTHER)
    subject.spool.intents.clear()
    subject.clock.advance(3_600)
    assert "LEDGER_UNAVAILABLE" == await subject.refused(OTHER)


async def test_the_memory_is_bounded() -> None:
    """Who called longest ago is forgotten."""
    subject = Subject(callers_max=2)
    callers = [Principal("virtual_key", f"{number:064x}") for number in range(3)]
    for caller in callers:
        subject.admit(caller, user_id="u")
    assert [False, True, True] == [subject.memory.find(caller) is not None for caller in callers]
    subject.memory.changed(["user:u"])
    assert subject.memory._by_account == {}


async def test_whom_the_configuration_blocks_does_not_go_on() -> None:
    """By the key, its owner or the end user."""
    blocked = frozenset({sha256(b"mallory").hexdigest(), OTHER.key_hash})
    subject = Subject(blocked=blocked)
    subject.admit(user_id="mallory")
    subject.admit(OTHER)
    assert "LEDGER_UNAVAILABLE" == await subject.refused()
    assert "LEDGER_UNAVAILABLE" == await subject.refused(OTHER)
    assert "LEDGER_UNAVAILABLE" == await subject.refused(MASTER, end_user="mallory")


@pytest.mark.parametrize("reason", ["CONNECTION_LOST", "STORE_UNAVAILABLE"])
async def test_a_reservation_that_may_have_arrived_keeps_its_error(reason: str) -> None:
    """So that its hold is released."""
    subject = Subject(allow=False)
    assert reason == await subject.refused(error=MeshError(Code.UNAVAILABLE, reason, "?"))


@pytest.mark.parametrize(
    ("code", "reason"),
    [(Code.RESOURCE_EXHAUSTED, "QUEUE_FULL"), (Code.DEADLINE_EXCEEDED, "DEADLINE_TOO_CLOSE")],
)
async def test_a_busy_ledger_is_not_away(code: Code, reason: str) -> None:
    """Its limits hold."""
    subject = Subject()
    subject.admit()
    assert reason == await subject.refused(error=MeshError(code, reason, "?"))


async def test_a_ledger_that_hangs_is_not_waited_for_again_and_again() -> None:
    """After some failures in a row the answer comes at once, and one call at a time tries."""
    subject = Subject()
    late = MeshError(Code.DEADLINE_EXCEEDED, "RPC_DEADLINE_EXCEEDED", "late")
    for _ in range(3):
        subject.outage.ask()
        await subject.offline(MASTER, error=late)
    with pytest.raises(MeshError, match="LEDGER_UNAVAILABLE"):
        subject.outage.ask()
    subject.clock.advance(1.0)
    subject.outage.ask()
    subject.admit(MASTER)
    subject.outage.ask()
    await asyncio.sleep(0)


async def test_a_key_goes_on_where_its_routes_allow() -> None:
    """Somewhere else it is told what an unknown key is told, and nothing is noted."""
    subject = Subject()
    subject.admit(allowed_routes=["/v1/embeddings"])
    assert "LEDGER_UNAVAILABLE" == await subject.refused(route="/v1/chat/completions")
    assert "LEDGER_UNAVAILABLE" == await subject.refused()
    assert "real-gpt" == (await subject.offline(route="/v1/embeddings")).resolved_model
