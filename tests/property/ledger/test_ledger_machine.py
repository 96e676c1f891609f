"""The ledger on a real PostgreSQL, driven at random beside a simple model of itself.

Two replicas; keys with and without a cap, of a team and of a user, below limits of the whole gateway: budgets
with resets, requests and tokens per minute, parallel calls. Reservations, top-ups, settlements with legs,
voids that may come first, sweeps, leases, repeats of all of them, clock jumps, deleted keys. After every
step the money and the counts in the database are the model's; the books balance now and then, and at the end.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

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
from meshgate_ledger.admission import LEAST_OUTPUT_TOKENS
from meshgate_ledger.limits import LimitSpec
from meshgate_ledger.price import TokenCounts
from meshgate_ledger.records import Denial, DenialReason, Grant, Leg, TopUpCommand
from tests.property.ledger.ledger_model import Account, Limit, Model, Request, price
from tests.support.clock import ManualClock
from tests.support.postgres import DatabaseServer
from tests.unit.ledger.subject import TIMEOUT_S, books, key_hash, open_ledger, principal

KEYS: dict[int, tuple[str, ...]] = {1: ("user:u",), 2: ("team:t",), 3: ()}
HOLD_S = 100
START_S = 1_700_000_000
EDGES = ("", "e1", "e2")
SERVED = ("paid-1", "openai", "m", "paid")
SETTINGS = settings(
    max_examples=20,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def key_account(key: int) -> str:
    return f"key:{key_hash(key)}"


def accounts() -> dict[str, Account]:
    """The limits of everybody; in the order in which they are asked."""
    return {
        key_account(1): Account([Limit("spend", 2_000)]),
        key_account(2): Account(),
        key_account(3): Account(),
        "user:u": Account([Limit("spend", 1_500, 3_600), Limit("requests", 4, 60)]),
        "team:t": Account([Limit("spend", 5_000), Limit("spend", 900, 60), Limit("tokens", 400, 120)]),
        "gateway": Account([Limit("spend", 4_000, 86_400), Limit("requests", 9, 120), Limit("parallel", 4)]),
    }


PERIODS = {0: "", 60: "1m", 120: "120s", 3_600: "1h", 86_400: "1d"}


def spec(limit: Limit) -> LimitSpec:
    return LimitSpec(limit.metric, PERIODS[limit.length_s], limit.maximum)  # type: ignore[arg-type]


class LedgerMachine(RuleBasedStateMachine):
    """See the module."""

    requests = Bundle("requests")

    def __init__(self, server: DatabaseServer) -> None:
        super().__init__()
        self.server = server
        self.dsn = server.new_database()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.clock = ManualClock(START_S * 10**9)
        self.replicas = [
            self.do(self.stack.enter_async_context(open_ledger(self.dsn, self.clock))) for _ in range(2)
        ]
        self.do(self.replicas[0].add_key(1, user_id="u"))
        self.do(self.replicas[0].add_key(2, team_id="t"))
        self.do(self.replicas[0].add_key(3))
        self.model = Model(accounts(), START_S % 86_400)
        for name, account in self.model.accounts.items():
            self.do(self.replicas[0].limit(name, *map(spec, account.limits)))
            for limit in account.limits:  # budgets begin when they are made
                if limit.metric == "spend" and limit.length_s:
                    limit.starts_s, limit.ends_s = 0.0, self.model.end_of(limit)
        self.known = self.model.requests
        self.tombstones: set[str] = set()
        self.deleted: set[int] = set()

    def do(self, work: object) -> object:
        return self.runner.run(work)  # type: ignore[arg-type]

    def teardown(self) -> None:
        self.the_books_balance()
        self.do(self.stack.aclose())
        self.runner.close()
        self.server.drop_database(self.dsn)

    @rule(
        target=requests,
        key=st.sampled_from(sorted(KEYS)),
        prompt=st.integers(0, 300),
        output=st.one_of(st.integers(0, 30), st.integers(60, 150)),
        can_top_up=st.booleans(),
        edge=st.sampled_from(EDGES),
        replica=st.integers(0, 1),
    )
    def reserve(self, key: int, prompt: int, output: int, can_top_up: bool, edge: str, replica: int) -> str:
        name = f"r{len(self.known) + len(self.tombstones)}"
        request = Request(
            key,
            (key_account(key), *KEYS[key], "gateway"),
            prompt,
            output,
            "open",
            self.model.now_s,
            self.model.now_s + HOLD_S,
            edge=edge,
        )
        self.known[name] = request
        request.state = "asked"
        decision = self.do(self._reserve(replica, name, can_top_up))
        if key in self.deleted:
            expected = "KEY_UNKNOWN"
        else:
            expected = self.model.reserve(request, min(output, LEAST_OUTPUT_TOKENS) if can_top_up else None)
        request.state = "open" if expected == "GRANTED" else "denied"
        if isinstance(decision, Grant):
            assert ("GRANTED", request.held) == (expected, decision.held_nanos)
            assert self.model.accounts[key_account(key)].posted == decision.spend_nanos
        else:
            assert isinstance(decision, Denial)
            assert DenialReason(expected) is decision.reason
        return name

    @rule(name=requests, can_top_up=st.booleans(), replica=st.integers(0, 1))
    def reserve_again(self, name: str, can_top_up: bool, replica: int) -> None:
        decision = self.do(self._reserve(replica, name, can_top_up))

        assert (self.known[name].state == "denied") is isinstance(decision, Denial)

    async def _reserve(self, replica: int, name: str, can_top_up: bool) -> Grant | Denial:
        request = self.known[name]
        return await self.replicas[replica].reserve(
            name,
            principal(request.key),
            output_tokens=request.output,
            prompt_tokens=request.prompt,
            hold_duration_s=float(HOLD_S),
            can_top_up=can_top_up,
            edge_id=request.edge,
        )

    @rule(name=requests, output=st.integers(0, 100), replica=st.integers(0, 1))
    def top_up(self, name: str, output: int, replica: int) -> None:
        request = self.known[name]
        command = TopUpCommand(name, "paid-1", "openai", "m", request.prompt, output)
        answer = self.attempt(self.replicas[replica].ledger.top_up, command, TIMEOUT_S)
        if request.state != "open":
            assert answer == {
                "denied": "HOLD_UNKNOWN",
                "voided": "ALREADY_VOIDED",
            }.get(request.state, "ALREADY_SETTLED")
            return
        covered = self.model.top_up(request, output)
        request.expires_s = max(request.expires_s, self.model.now_s + 900)
        held = (answer.covered_output_tokens, answer.held_nanos)  # type: ignore[union-attr]
        assert (covered, request.held) == held

    @rule(name=requests, share=st.floats(0, 2), legs=st.integers(0, 2), replica=st.integers(0, 1))
    def settle(self, name: str, share: float, legs: int, replica: int) -> None:
        request = self.known[name]
        prompt, output = int(request.prompt * share), int(request.output * share)
        more = tuple(Leg(TokenCounts(number, 1), *SERVED) for number in range(legs))

        def work(*arguments: object) -> object:
            return self.replicas[replica].settle(*arguments, legs=more)  # type: ignore[arg-type]

        answer = self.attempt(work, name, prompt, output)
        if request.state == "denied":
            assert "HOLD_UNKNOWN" == answer
        elif request.state == "voided":
            assert "ALREADY_VOIDED" == answer
        else:
            if request.state != "settled":
                charge = price(prompt, output) + sum(price(number, 1) for number in range(legs))
                tokens = prompt + output + sum(number + 1 for number in range(legs))
                self.model.close(request, "settled", charge, tokens)
            assert request.charged == answer.cost.total  # type: ignore[union-attr]

    @rule(name=requests, replica=st.integers(0, 1))
    def void(self, name: str, replica: int) -> None:
        request = self.known[name]
        answer = self.attempt(self.replicas[replica].void, name)
        if request.state == "denied":
            assert "HOLD_UNKNOWN" == answer
        elif request.state == "settled":
            assert "ALREADY_SETTLED" == answer
        else:
            assert answer is None
            if request.state != "voided":
                self.model.close(request, "voided", 0, 0)

    @rule(key=st.sampled_from(sorted(KEYS)), replica=st.integers(0, 1))
    def void_before_it_comes(self, key: int, replica: int) -> None:
        name = f"t{len(self.known) + len(self.tombstones)}"
        self.tombstones.add(name)
        for _ in range(2):
            assert self.attempt(self.replicas[replica].void, name) is None
        late = self.attempt(self.replicas[1 - replica].reserve, name, principal(key))
        assert "ALREADY_VOIDED" == late

    def attempt(self, work: Callable[..., object], *arguments: object) -> object:
        """The result, or the reason of the error."""
        try:
            return self.do(work(*arguments))
        except MeshError as error:
            return error.reason

    @rule(duration_s=st.sampled_from([1, 3, 5, 20, 30, 45, 59, 60, 61, 100, 901, 3_600, 86_400]))
    def time_passes(self, duration_s: int) -> None:
        self.clock.advance(duration_s)
        self.model.now_s += duration_s

    @rule(replica=st.integers(0, 1))
    def sweep(self, replica: int) -> None:
        due = [
            each
            for each in self.known.values()
            if each.state == "open" and each.expires_s <= self.model.now_s
        ]
        assert len(due) == self.do(self.replicas[replica].sweeper.sweep())
        for each in due:
            self.model.close(each, "expired", each.held, 0)

    @rule(edge=st.sampled_from(EDGES[1:]), replica=st.integers(0, 1))
    def renew_lease(self, edge: str, replica: int) -> None:
        self.do(self.replicas[replica].ledger.renew_lease(edge, TIMEOUT_S))
        self.model.edges[edge] = self.model.now_s + 6

    @rule(replica=st.integers(0, 1))
    def free_slots(self, replica: int) -> None:
        assert self.model.free_slots() == self.do(self.replicas[replica].sweeper.free_slots())

    @precondition(lambda self: len(self.known) > 15)
    @rule(key=st.sampled_from(sorted(KEYS)))
    def delete_key(self, key: int) -> None:
        if key not in self.deleted:
            self.do(self.replicas[0].keys.delete(f"d{key}", [key_hash(key)], [], TIMEOUT_S))
            self.deleted.add(key)

    @rule()
    def the_books_balance(self) -> None:
        found = self.do(books(self.dsn))
        assert () == found.differences  # type: ignore[attr-defined]

    @invariant()
    def the_money_is_right(self) -> None:
        accounts = self.do(self.replicas[0].all_accounts(list(self.model.accounts)))
        for name, account in self.model.accounts.items():
            expected = (account.posted, self.model.pending(name), self.model.open_calls(name))
            assert expected == accounts[name], name  # type: ignore[index]
            assert account.posted >= 0

    @invariant()
    def the_counts_are_right(self) -> None:
        uses = self.do(self.replicas[0].all_uses(list(self.model.accounts)))
        for name, account in self.model.accounts.items():
            for limit in account.limits:
                is_over = limit.ends_s is not None and limit.ends_s <= self.model.now_s
                used = limit.used
                if limit.metric == "parallel":
                    used = self.model.open_calls(name)
                elif limit.metric == "spend":
                    used = account.posted - limit.base
                found = uses[name, limit.metric, PERIODS[limit.length_s]]  # type: ignore[index]
                assert (0 if is_over and limit.length_s else used) == found, (name, limit)


def test_the_ledger_is_its_model(postgres_server: DatabaseServer) -> None:
    """See the module."""
    run_state_machine_as_test(lambda: LedgerMachine(postgres_server), settings=SETTINGS)
