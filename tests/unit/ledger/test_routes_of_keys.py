"""Which paths a key may call is decided with everything else, before anything is held."""

import pytest

from meshgate_ledger.entities.changes import Change
from meshgate_ledger.records import Denial, DenialReason, Grant, KeyState
from tests.support.clock import ManualClock
from tests.unit.ledger.subject import MASTER, TIMEOUT_S, entries, open_ledger

CHAT, INFO = "/v1/chat/completions", "/key/info"


@pytest.mark.parametrize(
    ("rules", "route", "allowed"),
    [
        ((), CHAT, True),
        ((), "", True),
        (("/chat/completions",), CHAT, True),
        (("/chat/completions",), "/v1/embeddings", False),
        (("/chat/completions",), "", False),  # of an edge that does not tell
        (("info_routes",), CHAT, False),
    ],
)
async def test_a_reservation_elsewhere_is_denied(
    postgres_dsn: str, rules: tuple[str, ...], route: str, allowed: bool
) -> None:
    """Nothing is held or posted for it; the books balance."""
    async with open_ledger(postgres_dsn, ManualClock()) as subject:
        caller = await subject.add_key(budget=10**6, allowed_routes=rules)
        verdict = await subject.reserve("r", caller, route=route)
        held = (await subject.money())[1]
    if allowed:
        assert isinstance(verdict, Grant)
        assert held > 0
    else:
        assert isinstance(verdict, Denial)
        assert (DenialReason.ROUTE_NOT_ALLOWED, 0) == (verdict.reason, held)
    assert [] == await entries(postgres_dsn, "r")


async def test_the_same_call_on_two_paths(postgres_dsn: str) -> None:
    """What was judged for one is not remembered for the other; a change of the rules counts at once."""
    async with open_ledger(postgres_dsn, ManualClock()) as subject:
        caller = await subject.add_key(allowed_routes=("/chat/completions",))
        for number in range(2):
            assert isinstance(await subject.reserve(f"chat {number}", caller, route=CHAT), Grant)
            other = await subject.reserve(f"other {number}", caller, route="/v1/completions")
            assert isinstance(other, Denial)
        before = await subject.keys.get(caller.key_hash, TIMEOUT_S)
        assert before is not None
        change = Change("change", "update key")
        await subject.keys.update(change, caller.key_hash, lambda _: before.record, TIMEOUT_S)
        assert isinstance(await subject.reserve("again", caller, route="/v1/completions"), Denial)
        assert isinstance(await subject.reserve("master", MASTER, route="/v1/completions"), Grant)


async def test_a_credential_is_shown_for_a_path(postgres_dsn: str) -> None:
    """Without one, rules do not matter: the edge asks whether it may go on knowing the key."""
    async with open_ledger(postgres_dsn, ManualClock()) as subject:
        caller = await subject.add_key(allowed_routes=("/chat/completions",))
        assert isinstance(await subject.ledger.authenticate(caller, TIMEOUT_S), KeyState)
        denied = await subject.ledger.authenticate(caller, TIMEOUT_S, INFO)
        assert isinstance(denied, Denial)
        assert DenialReason.ROUTE_NOT_ALLOWED is denied.reason
        assert "/key/info" in denied.message
        assert await subject.ledger.authenticate(MASTER, TIMEOUT_S, INFO) is None
