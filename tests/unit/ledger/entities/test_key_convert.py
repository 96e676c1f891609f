"""Keys at the border: what is said of them is checked, and comes back."""

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from meshgate_chassis.errors import MeshError
from meshgate_ledger.entities.convert import changing_from
from meshgate_ledger.entities.key_convert import key_from, key_rules_to, key_to
from meshgate_ledger.entities.plan import LimitPlan
from meshgate_ledger.records import KeyRecord, KeyState
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from meshgate_protos.ledger.v1.limits_pb2 import BudgetWindow, Limits

HASH = "0" * 63 + "1"


def key(**members: object) -> pb.Key:
    return pb.Key(**{"key_hash": HASH} | members)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"key_hash": "x"}, "key_hash"),
        ({"key_alias": "a" * 257}, "key_alias"),
        ({"models": [""]}, "models"),
        ({"models": ["m"] * 1_001}, "models"),
        ({"aliases": {"a": ""}}, "aliases"),
        ({"user_id": "u|model:m"}, "user_id"),
        ({"team_id": "t" * 201}, "team_id"),
        ({"tags": [str(number) for number in range(65)]}, "tags"),
        ({"max_budget_usd_nanos": -1}, "max_budget"),
        ({"limits": Limits(max_budget_usd_nanos=-1)}, "max_budget"),
        ({"limits": Limits(tokens_per_day=-1)}, "tpd_limit"),
        ({"limits": Limits(budget_duration="1y")}, "budget_duration"),
        ({"limits": Limits(model_requests_per_minute={"m": -1})}, "model_rpm_limit.m"),
        ({"limits": Limits(budget_windows=[BudgetWindow()] * 2)}, "budget_limits"),
        ({"metadata_json": "{"}, "metadata"),
        ({"settings_json": '"' + "x" * 300_000 + '"'}, "settings"),
        ({"metadata_json": "[" * 100_000}, "metadata"),
        ({"expire_time": Timestamp(seconds=-5)}, "duration"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_bad_key_names_its_field(members: dict[str, object], path: str) -> None:
    """INVALID_ARGUMENT/FIELD_INVALID, by the name of LiteLLM's API."""
    with pytest.raises(MeshError) as caught:
        key_from(key(**members))

    assert [path] == list(caught.value.fields)


def test_a_key_survives_the_border() -> None:
    """There and back; spend and hold come from the account."""
    asked = key(
        key_name="n",
        key_alias="a",
        user_id="u",
        team_id="t",
        organization_id="o",
        models=["m"],
        aliases={"x": "y"},
        tags=["t"],
        budget_id="b",
        limits=Limits(max_budget_usd_nanos=0, budget_duration="1mo", model_tokens_per_minute={"m": 1}),
        expire_time=Timestamp(seconds=2_000_000_000),
        blocked=True,
        metadata_json='{"a":1}',
        settings_json="{}",
    )

    record = key_from(asked)
    told = key_to(KeyState(record, posted_nanos=5, held_nanos=7, plan=record.limits))

    assert (5, 7, 0) == (told.spend_usd_nanos, told.held_usd_nanos, told.max_budget_usd_nanos)
    assert told.limits == told.effective_limits == asked.limits
    for name in ("spend_usd_nanos", "held_usd_nanos", "max_budget_usd_nanos", "effective_limits", "usage"):
        told.ClearField(name)  # type: ignore[arg-type]  # a literal in the stubs
    for name in ("create_time", "update_time"):
        told.ClearField(name)  # type: ignore[arg-type]
    assert asked == told


def test_a_budget_alone_is_a_limit() -> None:
    """As clients said it before there were other limits."""
    assert LimitPlan(max_budget_nanos=5) == key_from(key(max_budget_usd_nanos=5)).limits
    assert LimitPlan() == key_from(key(max_budget_usd_nanos=5, limits=Limits())).limits


def test_a_change_is_what_its_mask_names() -> None:
    """What the mask names and the message lacks is removed; the rest stays."""
    before = KeyRecord(
        HASH,
        models=("m",),
        metadata_json="{}",
        limits=LimitPlan(max_budget_nanos=5, requests_per_minute=1, model_tokens_per_minute={"m": 1}),
    )

    def changed(asked: pb.Key, *paths: str) -> KeyRecord:
        return changing_from(asked, FieldMask(paths=paths), key_rules_to, key_from)(before)

    assert () == changed(key(models=["x"]), "metadata_json", "models", "models").models[1:]
    assert ("", ("m",)) == (lambda found: (found.metadata_json, found.models))(
        changed(key(), "metadata_json")
    )
    assert LimitPlan(requests_per_minute=1, model_tokens_per_minute={"m": 1}) == (
        changed(key(), "limits.max_budget_usd_nanos").limits
    )
    assert LimitPlan(max_budget_nanos=0, model_tokens_per_minute={"x": 2}) == (
        changed(
            key(limits=Limits(max_budget_usd_nanos=0, model_tokens_per_minute={"x": 2}, tokens_per_day=9)),
            "limits.max_budget_usd_nanos",
            "limits.requests_per_minute",
            "limits.model_tokens_per_minute",
        ).limits
    )
    assert LimitPlan(tokens_per_day=9) == changed(key(limits=Limits(tokens_per_day=9)), "limits").limits
    with pytest.raises(MeshError, match="FIELD_INVALID"):
        changed(key(), "secret")
