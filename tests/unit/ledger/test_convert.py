"""The border between the contract and the ledger's own words."""

from datetime import UTC, datetime

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from meshgate_chassis.errors import MeshError
from meshgate_ledger import convert
from meshgate_ledger.price import Cost, Rates, TokenCounts
from meshgate_ledger.records import (
    Decision,
    Denial,
    DenialReason,
    Grant,
    KeyRecord,
    Outcome,
    Posting,
    ReserveCommand,
)
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from tests.unit.ledger.subject import MASTER, OPEN, key_hash, principal

CALLER = pb.Principal(kind=pb.Principal.KIND_VIRTUAL_KEY, key_hash=key_hash(1))


def reserve_request(**fields: object) -> pb.ReserveSpendRequest:
    return pb.ReserveSpendRequest(
        **({"request_id": "r", "principal": CALLER, "model": "m"} | fields)  # type: ignore[arg-type]
    )


def settle_request(**fields: object) -> pb.SettleSpendRequest:
    return pb.SettleSpendRequest(
        **({"request_id": "r", "outcome": pb.OUTCOME_SUCCESS} | fields)  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"request_id": ""}, "request_id"),
        ({"request_id": "x" * 65}, "request_id"),
        ({"request_id": "a\0"}, "request_id"),
        ({"principal": pb.Principal()}, "principal.kind"),
        ({"principal": pb.Principal(kind=pb.Principal.KIND_VIRTUAL_KEY)}, "principal.key_hash"),
        ({"principal": pb.Principal(kind=1, key_hash="A" * 64)}, "principal.key_hash"),
        ({"principal": pb.Principal(kind=3, key_hash="a" * 64 + "\n")}, "principal.key_hash"),
        ({"model": ""}, "model"),
        ({"model": "m" * 257}, "model"),
        ({"model": "m\0"}, "model"),
        ({"prompt_tokens": -1}, "prompt_tokens"),
        ({"prompt_tokens": 10**9 + 1}, "prompt_tokens"),
        ({"max_output_tokens": -1}, "max_output_tokens"),
        ({"choice_count": -1}, "choice_count"),
        ({"choice_count": 1_001}, "choice_count"),
        ({"hold_duration": Duration(seconds=0)}, "hold_duration"),
        ({"hold_duration": Duration(seconds=86_401)}, "hold_duration"),
        ({"tags": ["t"] * 65}, "tags"),
        ({"tags": ["t" * 257]}, "tags"),
        ({"end_user": "u" * 257}, "end_user"),
    ],
    ids=str,
)
def test_a_bad_reservation_names_its_field(fields: dict[str, object], path: str) -> None:
    """INVALID_ARGUMENT/FIELD_INVALID."""
    with pytest.raises(MeshError) as caught:
        convert.reserve_command_from(reserve_request(**fields))
    assert ("FIELD_INVALID", [path]) == (caught.value.reason, list(caught.value.fields))


def test_a_reservation_is_read() -> None:
    """Every field; absent and zero are not the same where that matters."""
    full = reserve_request(
        prompt_tokens=5,
        max_output_tokens=0,
        end_user="u",
        hold_duration=Duration(seconds=2, nanos=500_000_000),
        tags=["a"],
        choice_count=3,
    )
    assert ReserveCommand("r", principal(1), "m", 5, 0, 3, 2.5, "u", ("a",)) == (
        convert.reserve_command_from(full)
    )
    assert ReserveCommand("r", principal(1), "m") == convert.reserve_command_from(reserve_request())


def test_callers_are_read() -> None:
    """In open mode nobody has a key."""
    assert MASTER == convert.principal_from(pb.Principal(kind=pb.Principal.KIND_MASTER, key_hash="f" * 64))
    assert OPEN == convert.principal_from(pb.Principal(kind=pb.Principal.KIND_OPEN, key_hash="ignored"))


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"outcome": pb.OUTCOME_UNSPECIFIED}, "outcome"),
        ({"tokens": pb.TokenCounts(prompt_tokens=-1)}, "tokens.prompt_tokens"),
        ({"tokens": pb.TokenCounts(reasoning_tokens=10**10)}, "tokens.reasoning_tokens"),
        ({"saved_usd_nanos": -1}, "saved_usd_nanos"),
        ({"uncompressed_prompt_tokens": -1}, "uncompressed_prompt_tokens"),
        ({"start_time": Timestamp(seconds=-1)}, "start_time"),
        ({"end_time": Timestamp(seconds=10**12)}, "end_time"),
        ({"principal": pb.Principal()}, "principal.kind"),
    ],
    ids=str,
)
def test_a_settlement_that_cannot_be_true_names_its_field(fields: dict[str, object], path: str) -> None:
    """Its hold will expire and be charged as estimated."""
    with pytest.raises(MeshError) as caught:
        convert.settle_command_from(settle_request(**fields))
    assert [path] == list(caught.value.fields)


def test_a_settlement_is_never_refused_for_its_texts() -> None:
    """The money was spent: they are cut instead."""
    command = convert.settle_command_from(
        settle_request(provider="p\0" + "x" * 1_000, tokens=pb.TokenCounts(prompt_tokens=3, cached_tokens=5))
    )
    assert "p" + "x" * 255 == command.provider
    assert TokenCounts(prompt=3, cached=5) == command.tokens


def test_a_settlement_is_read() -> None:
    """Times to the microsecond, and what is absent stays absent."""
    moment = Timestamp(seconds=1_700_000_000, nanos=123_456_789)
    command = convert.settle_command_from(
        settle_request(outcome=pb.OUTCOME_CANCELLED, start_time=moment, principal=CALLER, estimated=True)
    )
    assert (Outcome.CANCELLED, principal(1), True) == (command.outcome, command.principal, command.estimated)
    assert datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC) == command.start_time
    assert (None, None, None) == (
        command.end_time,
        command.first_token_time,
        command.uncompressed_prompt_tokens,
    )


@pytest.mark.parametrize("reason", DenialReason)
def test_every_denial_has_a_word_in_the_contract(reason: DenialReason) -> None:
    """A new reason without one fails here."""
    denial = convert.denial_to(Denial(reason, "why", 3, 2))

    assert f"REASON_{reason}" == pb.Denial.Reason.Name(denial.reason)
    assert ("why", 3, 2) == (denial.message, denial.spend_usd_nanos, denial.max_budget_usd_nanos)


def test_tenants_cannot_take_each_others_names() -> None:
    """A team may be called like a key, or "master"."""
    keys = [KeyRecord(key_hash(1)), KeyRecord(key_hash(2), team_id="master")]
    keys.append(KeyRecord(key_hash(3), team_id=f"key:{key_hash(1)}"))
    tenants = [convert.account_to(principal(1), keys[0], 0).tenant_id]
    tenants += [convert.account_to(principal(2), key, 0).tenant_id for key in keys[1:]]
    tenants += [convert.account_to(caller, None, 0).tenant_id for caller in (MASTER, OPEN)]

    assert 5 == len(set(tenants))


def test_a_grant_tells_who_is_admitted() -> None:
    """With the budget only where there is one."""
    key = KeyRecord(key_hash(1), models=("a",), aliases={"b": "a"}, metadata_json="{}", max_budget_nanos=9)
    response = convert.decision_to(principal(1), Decision(Grant("a", 4, 3, key), is_repeat=True))

    assert (pb.DECISION_GRANTED, 4, "a") == (
        response.decision,
        response.held_usd_nanos,
        response.resolved_model,
    )
    assert (9, 3, ["a"], {"b": "a"}) == (
        response.account.max_budget_usd_nanos,
        response.account.spend_usd_nanos,
        list(response.account.models),
        dict(response.account.aliases),
    )
    nobody = convert.decision_to(OPEN, Decision(Grant("a", 4, 3, None), is_repeat=False))
    assert not nobody.account.HasField("max_budget_usd_nanos")
    assert (True, False) == (response.repeated, nobody.repeated)


def test_a_posting_tells_its_parts() -> None:
    """They add up."""
    response = convert.posting_to(Posting(Cost(1, 2, 3, 4, 5), 99))

    assert (15, 99) == (response.charged_usd_nanos, response.key_spend_usd_nanos)
    assert pb.CostBreakdown(
        input_usd_nanos=1,
        cached_input_usd_nanos=2,
        cache_creation_usd_nanos=3,
        output_usd_nanos=4,
        reasoning_usd_nanos=5,
    ) == (response.breakdown)


def test_a_grant_tells_the_prompts_price_when_it_is_known() -> None:
    """Absent is unknown; no price for cached tokens is absent as well, and not zero."""
    grant = Grant("a", 4, 3, None)
    known = convert.decision_to(OPEN, Decision(grant, False, Rates(input=100, output=1, cache_read=10)))
    plain = convert.decision_to(OPEN, Decision(grant, False, Rates(input=100, output=1)))
    unknown = convert.decision_to(OPEN, Decision(grant, False))

    assert (100, 10) == (
        known.prompt_price.input_nanos_per_mtok,
        known.prompt_price.cache_read_nanos_per_mtok,
    )
    assert not plain.prompt_price.HasField("cache_read_nanos_per_mtok")
    assert not unknown.HasField("prompt_price")
