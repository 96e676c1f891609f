"""Endings and top-ups as PostgreSQL takes them, as batches.py does reservations."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import asyncpg

from meshgate_ledger.batches import limit_from_json
from meshgate_ledger.limits import LimitNow

CLOSE = "CALL ledger.close_durably($1, $2, $3, NULL, NULL, NULL)"
TOP_UP = "SELECT * FROM ledger.top_up($1, $2, $3)"


class CloseRow(NamedTuple):
    """See the SQL type. A tuple, as asyncpg wants it: it has many fields and is made for every call."""

    request_id: str
    kind: str
    leg: int = 0
    leg_reason: str = ""
    account_id: str | None = None
    scopes: tuple[str, ...] = ()
    key_hash: str = ""
    model: str = ""
    input_nanos: int = 0
    cached_input_nanos: int = 0
    cache_creation_nanos: int = 0
    output_nanos: int = 0
    reasoning_nanos: int = 0
    price: str | None = None
    is_unpriced: bool = False
    saved_nanos: int = 0
    estimated: bool = False
    offline: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_creation_tokens: int = 0
    reasoning_tokens: int = 0
    uncompressed_prompt_tokens: int | None = None
    used_tokens: int = 0
    outcome: str = ""
    error_reason: str = ""
    model_group: str = ""
    deployment_id: str = ""
    provider: str = ""
    upstream_model: str = ""
    cache_key: str = ""
    call_type: str = "acompletion"
    api_base: str = ""
    response_id: str = ""
    requester_ip_address: str = ""
    end_user: str = ""
    tags: tuple[str, ...] = ()
    start_time: datetime | None = None
    end_time: datetime | None = None
    first_token_time: datetime | None = None


class CloseItem(NamedTuple):
    """What ends a hold: the call that answered, and its legs."""

    main: CloseRow
    legs: tuple[CloseRow, ...] = ()


class Closed(NamedTuple):
    """The state of a request's hold (None: it has none) and its charge with all legs, when it has one.

    `is_new`: this is what charged it.
    """

    state: str | None
    balance_nanos: int | None = None
    input_nanos: int = 0
    cached_input_nanos: int = 0
    cache_creation_nanos: int = 0
    output_nanos: int = 0
    reasoning_nanos: int = 0
    is_new: bool = False


class TopUpItem(NamedTuple):
    """See the SQL type."""

    request_id: str
    input_nanos: int
    amount_nanos: int
    tokens: int
    output_tokens: int
    hold_duration_s: float  # from now on


@dataclass(frozen=True, slots=True)
class Raised:
    """A hold after a top-up. `state` None: there is none. `blocked_account`: whose blocking refused it."""

    state: str | None
    amount_nanos: int
    refused_by: LimitNow | None
    blocked_account: str | None = None


async def run_close(
    connection: asyncpg.Connection, now: datetime, timezone: str, items: Sequence[CloseItem]
) -> list[Closed]:
    """Ends the items' holds in one round trip, and they are on the disk; one result for each, in their order.
    Of two items for one request the first counts."""
    asked: dict[str, CloseItem] = {}
    for item in items:
        asked.setdefault(item.main.request_id, item)
    rows: list[CloseRow] = []
    for item in asked.values():
        rows.append(item.main)
        if item.legs:
            rows.extend(item.legs)
    answer = await connection.fetchrow(CLOSE, now, timezone, rows)
    found = _charged(rows, answer)
    for other in answer["others"]:
        request_id = rows[other["number"] - 1].request_id
        earlier = found.get(request_id)
        if earlier is None:
            found[request_id] = _closed(other)
        elif earlier.is_new != other["is_repeat"]:  # a leg of what was seen, not an answer to what was done
            found[request_id] = _sum(earlier, _closed(other))
    return [found[item.main.request_id] for item in items]


def _charged(rows: Sequence[CloseRow], answer: asyncpg.Record) -> dict[str, Closed]:
    """The requests that were charged now, as they were sent."""
    found: dict[str, Closed] = {}
    for number, balance_nanos in zip(answer["numbers"] or (), answer["balances"] or (), strict=True):
        row = rows[number - 1]
        closed = Closed(
            "settled",
            balance_nanos,
            row.input_nanos,
            row.cached_input_nanos,
            row.cache_creation_nanos,
            row.output_nanos,
            row.reasoning_nanos,
            True,
        )
        earlier = found.get(row.request_id)
        found[row.request_id] = closed if earlier is None else _sum(earlier, closed)
    return found


async def run_top_up(
    connection: asyncpg.Connection, now: datetime, timezone: str, items: Sequence[TopUpItem]
) -> list[Raised]:
    """Raises the items' holds in one round trip. Of two items for one request the later counts."""
    asked = {item.request_id: item for item in items}
    rows = await connection.fetch(TOP_UP, now, timezone, list(asked.values()))
    found = {
        row["request_id"]: Raised(
            row["state"],
            row["amount_nanos"] or 0,
            limit_from_json(row["denial_limit"]),
            row["blocked_account"],
        )
        for row in rows
    }
    return [found[item.request_id] for item in items]


def _closed(row: asyncpg.Record) -> Closed:
    if row["balance_nanos"] is None:
        return Closed(row["state"], is_new=not row["is_repeat"])
    return Closed(
        state=row["state"],
        balance_nanos=row["balance_nanos"],
        input_nanos=row["input_nanos"],
        cached_input_nanos=row["cached_input_nanos"],
        cache_creation_nanos=row["cache_creation_nanos"],
        output_nanos=row["output_nanos"],
        reasoning_nanos=row["reasoning_nanos"],
        is_new=not row["is_repeat"],
    )


def _sum(one: Closed, other: Closed) -> Closed:
    """The charge of a request with the leg's."""
    return Closed(
        state=one.state,
        balance_nanos=max(one.balance_nanos or 0, other.balance_nanos or 0),
        input_nanos=one.input_nanos + other.input_nanos,
        cached_input_nanos=one.cached_input_nanos + other.cached_input_nanos,
        cache_creation_nanos=one.cache_creation_nanos + other.cache_creation_nanos,
        output_nanos=one.output_nanos + other.output_nanos,
        reasoning_nanos=one.reasoning_nanos + other.reasoning_nanos,
        is_new=one.is_new,
    )
