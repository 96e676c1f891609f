"""A simple model of the ledger: dictionaries and sums, one request at a time."""

from copy import deepcopy
from dataclasses import dataclass, field

LEASE_S = 6


@dataclass
class Limit:
    """As a row of ledger.limits. `length_s` 0: without end; `aligned`: a budget's day, ended by the clock."""

    metric: str
    maximum: int
    length_s: int = 0
    used: int = 0
    base: int = 0
    starts_s: float | None = None
    ends_s: float | None = None

    def spans(self, first_s: float, last_s: float) -> bool:
        """Whether both times lie in the window that has begun."""
        if self.starts_s is None or self.ends_s is None:
            return False
        return self.starts_s <= first_s and self.ends_s > last_s


@dataclass
class Account:
    limits: list[Limit] = field(default_factory=list)
    posted: int = 0


@dataclass
class Request:
    """One request and its hold. `charged`: by its payer, in the end."""

    key: int
    scopes: tuple[str, ...]
    prompt: int
    output: int
    state: str
    created_s: float
    expires_s: float
    held: int = 0
    tokens: int = 0
    held_output: int = 0
    charged: int = 0
    slot: bool = False
    edge: str = ""


def price(prompt: int, output: int) -> int:
    """Of the tests' model."""
    return prompt + 10 * output


class Model:
    """`now_s`: seconds since the start, which is `start_s` after a midnight."""

    def __init__(self, accounts: dict[str, Account], start_s: int) -> None:
        self.accounts = accounts
        self.requests: dict[str, Request] = {}
        self.edges: dict[str, float] = {}
        self.now_s = 0.0
        self.start_s = start_s

    def pending(self, account: str) -> int:
        return sum(
            each.held for each in self.requests.values() if account in each.scopes and each.state == "open"
        )

    def open_calls(self, account: str) -> int:
        return sum(each.slot for each in self.requests.values() if account in each.scopes)

    def spent(self, account: str, limit: Limit) -> int:
        """In the limit's period, with what is held."""
        return self.accounts[account].posted - limit.base + self.pending(account)

    def roll(self, scopes: tuple[str, ...], metrics: tuple[str, ...]) -> None:
        """Begins every period anew that is over."""
        for name in scopes:
            for limit in self.accounts[name].limits:
                if limit.metric not in metrics or not limit.length_s:
                    continue
                if limit.ends_s is None or limit.ends_s <= self.now_s:
                    limit.starts_s = self.now_s
                    limit.used = 0
                    limit.base = self.accounts[name].posted
                    limit.ends_s = self.end_of(limit)

    def end_of(self, limit: Limit) -> float:
        """A budget's period ends on a multiple of its length, another's so long after its begin."""
        if limit.metric != "spend":
            return self.now_s + limit.length_s
        since = self.start_s + self.now_s
        return (since // limit.length_s + 1) * limit.length_s - self.start_s

    def reserve(self, request: Request, least_output: int | None) -> str:
        """GRANTED, or the reason of the denial; fills in the hold. Only a grant begins a period."""
        before = {name: deepcopy(self.accounts[name].limits) for name in request.scopes}
        self.roll(request.scopes, ("spend", "requests", "tokens"))
        verdict = self.decide(request, least_output)
        if verdict != "GRANTED":
            for name, limits in before.items():
                self.accounts[name].limits = limits
        return verdict

    def decide(self, request: Request, least_output: int | None) -> str:
        """As `reserve`, when every period is under way."""
        held_output = request.output
        tokens = request.prompt + request.output
        slot = False
        for name in request.scopes:
            for limit in self.accounts[name].limits:
                if limit.metric == "spend":
                    used = self.spent(name, limit)
                    if used + price(request.prompt, held_output) <= limit.maximum:
                        continue
                    if least_output is None or used + price(request.prompt, least_output) > limit.maximum:
                        return "BUDGET_EXCEEDED"
                    held_output = least_output
                elif limit.metric == "tokens":
                    if limit.used + tokens <= limit.maximum:
                        continue
                    if least_output is None or limit.used + request.prompt + least_output > limit.maximum:
                        return "RATE_LIMITED"
                    tokens = request.prompt + least_output
                elif limit.metric == "requests":
                    if limit.used + 1 > limit.maximum:
                        return "RATE_LIMITED"
                else:
                    slot = True
                    if self.open_calls(name) + 1 > limit.maximum:
                        return "PARALLEL_LIMITED"
        for name in request.scopes:
            for limit in self.accounts[name].limits:
                limit.used += {"requests": 1, "tokens": tokens}.get(limit.metric, 0)
        request.held = price(request.prompt, held_output)
        request.held_output = held_output
        request.tokens, request.slot = tokens, slot
        return "GRANTED"

    def close(self, request: Request, state: str, charge: int, tokens: int) -> None:
        """Settles, voids or expires: `charge` is the whole of it, `tokens` what counts on limits."""
        self.roll(request.scopes, ("spend",))
        for name in request.scopes:
            account = self.accounts[name]
            for limit in account.limits:
                same = limit.spans(request.created_s, self.now_s)
                if limit.metric == "tokens" and state != "expired" and same:
                    limit.used = max(limit.used + tokens - request.tokens, 0)
            account.posted += charge - request.charged
        request.charged = charge
        request.state = state
        request.slot = False

    def top_up(self, request: Request, output: int) -> int:
        """How many output tokens are paid for then."""
        self.roll(request.scopes, ("spend",))
        wanted = price(request.prompt, output) - request.held
        left = [
            limit.maximum - self.spent(name, limit)
            for name in request.scopes
            for limit in self.accounts[name].limits
            if limit.metric == "spend"
        ]
        more = max(0, min([wanted, *left]))
        for name in request.scopes:
            for limit in self.accounts[name].limits:
                if limit.metric == "tokens" and limit.spans(request.created_s, self.now_s):
                    limit.used += max(request.prompt + output - request.tokens, 0)
        request.tokens = max(request.tokens, request.prompt + output)
        request.held += more
        if more >= wanted:
            request.held_output = max(request.held_output, output)
            return output
        covered = max((request.held - request.prompt) // 10, 0)
        request.held_output = max(request.held_output, covered)
        return min(covered, output)

    def free_slots(self) -> int:
        """Of edges whose lease is over."""
        freed = 0
        for request in self.requests.values():
            lease_ends_s = self.edges.get(request.edge, request.created_s + LEASE_S)
            if request.slot and request.edge and lease_ends_s <= self.now_s:
                request.slot = False
                freed += 1
        return freed
