"""The ledger on a real PostgreSQL, driven at random beside a simple model of itself.

Two replicas, two capped keys and one without a cap; reservations, settlements, voids, sweeps, repeats of
all of them, clock jumps, deleted keys. After every step the money in the database is the model's, the
books balance and no cap is broken.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from meshgate_chassis.errors import MeshError
from meshgate_ledger.records import Denial, DenialReason, Grant
from tests.support.clock import ManualClock
from tests.support.postgres import DatabaseServer
from tests.unit.ledger.subject import TIMEOUT_S, books, key_hash, open_ledger, principal

CAPS: dict[int, int | None] = {1: 1_000, 2: 5_000, 3: None}
HOLD_S = 10
SETTINGS = settings(
    max_examples=20,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@dataclass
class Expected:
    """What the model knows of a request."""

    key: int
    prompt: int
    output: int
    state: str
    expires_s: float
    charged: int = 0

    @property
    def hold(self) -> int:
        return self.prompt + 10 * self.output


class LedgerMachine(RuleBasedStateMachine):
    """See the module."""

    requests = Bundle("requests")

    def __init__(self, server: DatabaseServer) -> None:
        super().__init__()
        self.server = server
        self.dsn = server.new_database()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.clock = ManualClock()
        self.now_s = 0.0
        self.replicas = [
            self.do(self.stack.enter_async_context(open_ledger(self.dsn, self.clock))) for _ in range(2)
        ]
        for key, cap in CAPS.items():
            self.do(self.replicas[0].add_key(key, budget=cap))
        self.known: dict[str, Expected] = {}
        self.deleted: set[int] = set()

    def do(self, work: object) -> object:
        return self.runner.run(work)  # type: ignore[arg-type]

    def teardown(self) -> None:
        self.do(self.stack.aclose())
        self.runner.close()
        self.server.drop_database(self.dsn)

    def posted(self, key: int) -> int:
        return sum(each.charged for each in self.known.values() if each.key == key)

    def held(self, key: int) -> int:
        return sum(each.hold for each in self.known.values() if each.key == key and each.state == "open")

    @rule(
        target=requests,
        key=st.sampled_from(sorted(CAPS)),
        prompt=st.integers(0, 300),
        output=st.integers(0, 30),
        replica=st.integers(0, 1),
    )
    def reserve(self, key: int, prompt: int, output: int, replica: int) -> str:
        request_id = f"r{len(self.known)}"
        expected = Expected(key, prompt, output, "open", self.now_s + HOLD_S)
        cap = CAPS[key]
        fits = cap is None or self.posted(key) + self.held(key) + expected.hold <= cap
        decision = self.do(self._reserve(replica, request_id, expected))
        if key in self.deleted:
            assert isinstance(decision, Denial)
            assert DenialReason.KEY_UNKNOWN is decision.reason
        elif fits:
            assert isinstance(decision, Grant)
            assert (expected.hold, self.posted(key)) == (decision.held_nanos, decision.spend_nanos)
        else:
            assert isinstance(decision, Denial)
            assert (DenialReason.BUDGET_EXCEEDED, self.posted(key) + self.held(key)) == (
                decision.reason,
                decision.spend_nanos,
            )
        if isinstance(decision, Denial):
            expected.state = "denied"
        self.known[request_id] = expected
        return request_id

    @rule(request_id=requests, replica=st.integers(0, 1))
    def reserve_again(self, request_id: str, replica: int) -> None:
        expected = self.known[request_id]
        decision = self.do(self._reserve(replica, request_id, expected))

        assert (expected.state == "denied") is isinstance(decision, Denial)

    async def _reserve(self, replica: int, request_id: str, expected: Expected) -> Grant | Denial:
        return await self.replicas[replica].reserve(
            request_id,
            principal(expected.key),
            output_tokens=expected.output,
            prompt_tokens=expected.prompt,
            hold_duration_s=float(HOLD_S),
        )

    @rule(request_id=requests, share=st.floats(0, 1), replica=st.integers(0, 1))
    def settle(self, request_id: str, share: float, replica: int) -> None:
        expected = self.known[request_id]
        prompt, output = int(expected.prompt * share), int(expected.output * share)
        answer = self.attempt(self.replicas[replica].settle, request_id, prompt, output)
        if expected.state == "denied":
            assert "HOLD_UNKNOWN" == answer
        elif expected.state == "voided":
            assert "ALREADY_VOIDED" == answer
        else:
            if expected.state != "settled":
                expected.state, expected.charged = "settled", prompt + 10 * output
            assert expected.charged == answer.cost.total  # type: ignore[union-attr]

    @rule(request_id=requests, replica=st.integers(0, 1))
    def void(self, request_id: str, replica: int) -> None:
        expected = self.known[request_id]
        answer = self.attempt(self.replicas[replica].void, request_id)
        if expected.state == "denied":
            assert "HOLD_UNKNOWN" == answer
        elif expected.state == "settled":
            assert "ALREADY_SETTLED" == answer
        else:
            assert answer is None
            expected.state, expected.charged = "voided", 0

    def attempt(self, work: Callable[..., object], *arguments: object) -> object:
        """The result, or the reason of the error."""
        try:
            return self.do(work(*arguments))
        except MeshError as error:
            return error.reason

    @rule(duration_s=st.integers(1, HOLD_S))
    def time_passes(self, duration_s: int) -> None:
        self.clock.advance(duration_s)
        self.now_s += duration_s

    @rule(replica=st.integers(0, 1))
    def sweep(self, replica: int) -> None:
        due = [each for each in self.known.values() if each.state == "open" and each.expires_s <= self.now_s]
        assert len(due) == self.do(self.replicas[replica].sweeper.sweep())
        for each in due:
            each.state, each.charged = "expired", each.hold

    @precondition(lambda self: len(self.known) > 10)
    @rule(key=st.sampled_from(sorted(CAPS)))
    def delete_key(self, key: int) -> None:
        if key not in self.deleted:
            self.do(self.replicas[0].keys.delete(f"d{key}", [key_hash(key)], [], TIMEOUT_S))
            self.deleted.add(key)

    @invariant()
    def the_money_is_right(self) -> None:
        found = self.do(books(self.dsn))
        assert () == found.differences  # type: ignore[attr-defined]
        assert sum(map(self.posted, CAPS)) == found.posted_nanos  # type: ignore[attr-defined]
        assert sum(map(self.held, CAPS)) == found.pending_nanos  # type: ignore[attr-defined]
        for key in set(CAPS) - self.deleted:
            assert (self.posted(key), self.held(key)) == self.do(self.replicas[0].money(key))
        for key, cap in CAPS.items():
            assert cap is None or self.posted(key) + self.held(key) <= cap


def test_the_ledger_is_its_model(postgres_server: DatabaseServer) -> None:
    """See the module."""
    run_state_machine_as_test(lambda: LedgerMachine(postgres_server), settings=SETTINGS)
