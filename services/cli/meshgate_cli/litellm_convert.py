"""LiteLLM's rows -> what the ledger imports. Pure; says what cannot be brought."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from meshgate_cli.litellm_limits import (
    Row,
    document_of,
    json_of,
    models_of,
    nanos_of,
    plan_of,
    text_of,
    time_of,
)
from meshgate_cli.litellm_source import LiteLlm, Rows
from meshgate_ledger.account_ids import key_account, member_account
from meshgate_ledger.entities.records import Entity, EntityKind, Member
from meshgate_ledger.imports.records import Balance, DaySums, Foreign
from meshgate_ledger.records import KeyRecord

SOURCE = "litellm"
HASH = re.compile(r"[0-9a-f]{64}")
ID_CHARACTERS_MAX = 200
KEPT = ("permissions", "config", "allowed_cache_controls")
NOTES_MAX = 100


@dataclass(slots=True)
class _Found:
    """What is collected on the way."""

    entities: list[Entity] = field(default_factory=list)
    members: dict[tuple[str, str], Member] = field(default_factory=dict)
    keys: list[KeyRecord] = field(default_factory=list)
    balances: list[Balance] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        if len(self.notes) < NOTES_MAX:
            self.notes.append(text)


def convert(litellm: LiteLlm) -> Foreign:
    """Everything. Budgets that are named and not there are left out of who names them."""
    found = _Found()
    tables = litellm.tables
    resets = {row["budget_id"]: time_of(row["budget_reset_at"]) for row in tables["LiteLLM_BudgetTable"]}
    for row in tables["LiteLLM_BudgetTable"]:
        _add(found, EntityKind.BUDGET, row["budget_id"], row, {"limits": plan_of(row)})
    for row in tables["LiteLLM_OrganizationTable"]:
        members = {"alias": row["organization_alias"], "models": models_of(row["models"])}
        _add(found, EntityKind.ORGANIZATION, row["organization_id"], row, members, resets)
    for row in tables["LiteLLM_UserTable"]:
        members = {"alias": row["user_alias"], "email": row["user_email"], "role": row["user_role"]}
        members |= {"organization_id": row["organization_id"], "models": models_of(row["models"])}
        _add(found, EntityKind.USER, row["user_id"], row, members | {"limits": plan_of(row)})
    for row in tables["LiteLLM_TeamTable"]:
        members = {"alias": row["team_alias"], "organization_id": row["organization_id"]}
        members |= {"models": models_of(row["models"]), "blocked": bool(row["blocked"])}
        _add(found, EntityKind.TEAM, row["team_id"], row, members | {"limits": plan_of(row)})
    for row in tables["LiteLLM_EndUserTable"]:
        members = {"alias": row["alias"], "blocked": bool(row["blocked"])}
        _add(found, EntityKind.CUSTOMER, row["user_id"], row, members, resets)
    for row in tables["LiteLLM_TagTable"]:
        _add(found, EntityKind.TAG, row["tag_name"], row, {"alias": row["description"]}, resets)
    _members(found, tables, resets)
    for row in tables["LiteLLM_VerificationToken"]:
        _key(found, row, resets)
    days = tuple(_days(litellm))
    members_found = tuple(found.members.values())
    return Foreign(
        SOURCE, found.entities, members_found, found.keys, _summed(found.balances), days, found.notes
    )


def _add(
    found: _Found,
    kind: EntityKind,
    entity_id: object,
    row: Row,
    members: Mapping[str, Any],
    resets: Mapping[str, Any] | None = None,
) -> None:
    """An entity and its balance, unless its id is none of the ledger's."""
    name = str(entity_id or "")
    if not 1 <= len(name) <= ID_CHARACTERS_MAX or "\0" in name or (kind is EntityKind.TEAM and "/" in name):
        found.note(f"{kind} {name[:40]!r}: not a possible id")
        return
    budget_id = str(row.get("budget_id") or "") if kind is not EntityKind.BUDGET else ""
    known: dict[str, Any] = {
        key: text_of(value) if isinstance(value, str | None) else value for key, value in members.items()
    }
    metadata = document_of(row.get("metadata"))
    entity = replace(Entity(kind, name, budget_id=budget_id, metadata_json=metadata), **known)
    found.entities.append(entity)
    if kind is not EntityKind.BUDGET:
        own = time_of(row.get("budget_reset_at"))
        resets_at = own or (resets or {}).get(budget_id)
        found.balances.append(Balance(entity.account_id, nanos_of(row["spend"]), resets_at))


def _members(found: _Found, tables: Mapping[str, Rows], resets: Mapping[str, Any]) -> None:
    teams = {entity.entity_id for entity in found.entities if entity.kind is EntityKind.TEAM}
    for row in tables["LiteLLM_TeamTable"]:
        listed = json_of(row["members_with_roles"])
        for one in listed if isinstance(listed, list) else ():
            user_id = text_of(one.get("user_id")) if isinstance(one, dict) else ""
            if user_id and row["team_id"] in teams:
                role = text_of(one.get("role")) or "user"
                found.members[row["team_id"], user_id] = Member(row["team_id"], user_id, role)
    for row in tables["LiteLLM_TeamMembership"]:
        team_id, user_id = str(row["team_id"]), text_of(row["user_id"])
        if team_id not in teams or not user_id:
            found.note(f"member {user_id[:40]!r} of team {team_id[:40]!r}: there is no such team")
            continue
        role = found.members.get((team_id, user_id), Member(team_id, user_id)).role
        budget_id = str(row["budget_id"] or "")
        found.members[team_id, user_id] = Member(team_id, user_id, role, budget_id)
        found.balances.append(
            Balance(member_account(team_id, user_id), nanos_of(row["spend"]), resets.get(budget_id))
        )


def _key(found: _Found, row: Row, resets: Mapping[str, Any]) -> None:
    token = str(row["token"])
    if token.startswith("sk-"):  # of early versions, as it was
        token = hashlib.sha256(token.encode()).hexdigest()
    if not HASH.fullmatch(token):
        found.note(f"key {text_of(row['key_name'])!r}: its token is no SHA-256")
        return
    metadata = json_of(row["metadata"])
    metadata = metadata if isinstance(metadata, dict) else {}
    aliases = json_of(row["aliases"])
    tags = metadata.get("tags")
    kept = {name: value for name in KEPT if (value := json_of(row[name]))}
    budget_id = str(row["budget_id"] or "")
    found.keys.append(
        KeyRecord(
            key_hash=token,
            key_name=text_of(row["key_name"]),
            key_alias=text_of(row["key_alias"]),
            user_id=text_of(row["user_id"]),
            team_id=text_of(row["team_id"]),
            models=models_of(row["models"]),
            aliases={text_of(name): text_of(to) for name, to in (aliases or {}).items()},
            expires_at=time_of(row["expires"]),
            blocked=bool(row["blocked"]),
            metadata_json=document_of(metadata),
            settings_json=json.dumps(kept, separators=(",", ":")) if kept else "",
            organization_id=text_of(row["organization_id"]),
            tags=tuple(map(text_of, tags)) if isinstance(tags, list) else (),
            budget_id=budget_id,
            limits=plan_of(row, metadata),
            allowed_routes=tuple(map(text_of, row["allowed_routes"] or ())),
        )
    )
    resets_at = time_of(row["budget_reset_at"]) or resets.get(budget_id)
    found.balances.append(Balance(key_account(token), nanos_of(row["spend"]), resets_at))


def _summed(balances: list[Balance]) -> list[Balance]:
    """An account once: a token that was kept plain and hashed is one key."""
    found: dict[str, Balance] = {}
    for each in balances:
        before = found.get(each.account_id)
        spend = each.spend_nanos + (0 if before is None else before.spend_nanos)
        found[each.account_id] = Balance(each.account_id, spend, each.resets_at)
    return sorted(found.values(), key=lambda each: each.account_id)


def _days(litellm: LiteLlm) -> Iterator[DaySums]:
    """Of each day the source that knows more of it: the daily table, or the single calls."""
    tables = litellm.tables
    names = ("LiteLLM_DeletedVerificationToken", "LiteLLM_VerificationToken")
    owners = {row["token"]: row for name in names for row in tables[name]}
    for kind, rows in litellm.daily.items():
        by_day, logged = _grouped(rows), _grouped(litellm.logged[kind])
        for day in sorted({*by_day, *logged}):
            known, calls = by_day.get(day, []), logged.get(day, [])
            for row in known if _weight(known) >= _weight(calls) else calls:
                if kind and not row["label"]:
                    continue
                yield _day(row, kind, owners.get(row["api_key"]))


def _day(row: Row, kind: str, owner: Row | None) -> DaySums:
    provider, model = text_of(row["provider"]), text_of(row["model"])

    def of(name: str) -> str:
        value = row.get(name) or (owner[name] if owner is not None else None)
        return text_of(value)

    return DaySums(
        day=date.fromisoformat(row["day"]),
        key_hash=text_of(row["api_key"]),
        user_id=of("user_id"),
        team_id=of("team_id"),
        organization_id=of("organization_id"),
        model=model.removeprefix(f"{provider}/"),
        model_group=text_of(row["model_group"]),
        provider=provider,
        kind=kind,
        label=text_of(row["label"]),
        spend_nanos=nanos_of(row["spend"]),
        prompt_tokens=int(row["prompt_tokens"]),
        completion_tokens=int(row["completion_tokens"]),
        cached_tokens=int(row["cached_tokens"]),
        cache_creation_tokens=int(row["cache_creation_tokens"]),
        requests=int(row["requests"]),
        failures=int(row["failures"]),
        cache_hits=int(row["cache_hits"]),
    )


def _grouped(rows: Rows) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        try:
            date.fromisoformat(row["day"] or "")
        except ValueError:
            continue
        found.setdefault(row["day"], []).append(row)
    return found


def _weight(rows: list[Row]) -> tuple[float, int]:
    return sum(float(row["spend"]) for row in rows), sum(int(row["requests"]) for row in rows)
