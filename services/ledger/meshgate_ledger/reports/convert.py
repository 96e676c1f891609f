"""Report rows -> contract."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from meshgate_ledger.reports.filters import Dimension
from meshgate_protos.ledger.v1 import report_service_pb2 as pb

Row = Mapping[str, Any]

# By the column that parts of a day name.
DIMENSIONS = {each.value: pb.Dimension.Value(f"DIMENSION_{each.name}") for each in Dimension}


def sums_to(row: Row) -> pb.SpendSums:
    return pb.SpendSums(
        spend_usd_nanos=row["spend_nanos"],
        saved_usd_nanos=row["saved_nanos"],
        prompt_tokens=row["prompt_tokens"],
        completion_tokens=row["completion_tokens"],
        cached_tokens=row["cached_tokens"],
        cache_creation_tokens=row["cache_creation_tokens"],
        reasoning_tokens=row["reasoning_tokens"],
        requests=row["requests"],
        failures=row["failures"],
        cancelled=row["cancelled"],
        cache_hits=row["cache_hits"],
        duration_us=row["duration_us"],
        timed_requests=row["timed_requests"],
        hit_completion_tokens=row.get("hit_completion_tokens", 0),
    )


def spend_row_to(row: Row, label: Dimension | None) -> pb.SpendRow:
    """`label`: what the column of labels holds."""
    told = pb.SpendRow(sums=sums_to(row))
    for name in ("key_hash", "user_id", "team_id", "organization_id", "model", "model_group", "provider"):
        if name in row:
            setattr(told, name, row[name])
    if "day" in row:
        told.day = row["day"].isoformat()
    if "label" in row and label is not None:
        setattr(told, label.value, row["label"])
    if "key_alias" in row:
        told.key_alias = row["key_alias"] or ""
        told.key_name = row["key_name"] or ""
    if "team_alias" in row:
        told.team_alias = row["team_alias"] or ""
    return told


def part_to(row: Row) -> pb.ActivityPart:
    return pb.ActivityPart(
        dimension=DIMENSIONS[row["dimension"]],
        value=row["value"],
        sums=sums_to(row),
        key_alias=row["key_alias"] or "",
        entity_alias=row["entity_alias"] or "",
        key_team_id=row["key_team_id"] or "",
    )


def account_to(row: Row) -> pb.AccountSpend:
    account_id = row["account_id"]
    told = pb.AccountSpend(
        id=row["key_hash"] or account_id.partition(":")[2] or account_id,
        spend_usd_nanos=row["posted_nanos"],
        held_usd_nanos=row["pending_nanos"],
        max_budget_usd_nanos=row["maximum"],
    )
    if row["key_hash"] is not None:
        told.key_alias = row["key_alias"]
        told.key_name = row["key_name"]
        told.user_id = row["user_id"]
        told.team_id = row["team_id"]
        told.models.extend(row["models"])
        told.blocked = row["blocked"]
        told.metadata_json = row["metadata"]
        told.create_time.CopyFrom(timestamp_to(row["created_at"]))
        if row["expires_at"] is not None:
            told.expire_time.CopyFrom(timestamp_to(row["expires_at"]))
    return told


def entry_to(row: Row) -> pb.Entry:
    return pb.Entry(
        request_id=row["request_id"],
        kind=row["kind"],
        leg=row["leg"],
        account_id=row["account_id"],
        amount_usd_nanos=row["amount_nanos"],
        input_usd_nanos=row["input_nanos"],
        cached_input_usd_nanos=row["cached_input_nanos"],
        cache_creation_usd_nanos=row["cache_creation_nanos"],
        output_usd_nanos=row["output_nanos"],
        reasoning_usd_nanos=row["reasoning_nanos"],
        saved_usd_nanos=row["saved_nanos"],
        estimated=row["estimated"],
        price_json=row["price"] or "",
        prompt_tokens=row["prompt_tokens"],
        completion_tokens=row["completion_tokens"],
        cached_tokens=row["cached_tokens"],
        cache_creation_tokens=row["cache_creation_tokens"],
        reasoning_tokens=row["reasoning_tokens"],
        outcome=row["outcome"],
        error_reason=row["error_reason"],
        key_hash=row["key_hash"],
        user_id=row["user_id"],
        team_id=row["team_id"],
        organization_id=row["organization_id"],
        end_user=row["end_user"],
        tags=row["tags"],
        model=row["model"],
        model_group=row["model_group"],
        deployment_id=row["deployment_id"],
        provider=row["provider"],
        upstream_model=row["upstream_model"],
        cache_key=row["cache_key"],
        start_time=_maybe(row["start_time"]),
        end_time=_maybe(row["end_time"]),
        first_token_time=_maybe(row["first_token_time"]),
        create_time=timestamp_to(row["created_at"]),
        call_type=row["call_type"],
        api_base=row["api_base"],
        response_id=row["response_id"],
        requester_ip_address=row["requester_ip_address"],
        key_alias=row["key_alias"] or "",
        team_alias=row["team_alias"] or "",
    )


def timestamp_to(time: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp


def _maybe(time: datetime | None) -> Timestamp | None:
    return None if time is None else timestamp_to(time)
