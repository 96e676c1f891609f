"""On which accounts a call counts. Pure.

The order is that of the answer when several refuse: key, user, team, member of the team, organization,
customer, tags, the whole gateway; of each first the whole, then its part for the model.
"""

from collections.abc import Callable
from dataclasses import dataclass

from meshgate_ledger.account_ids import (
    GATEWAY,
    customer_account,
    member_account,
    model_account,
    organization_account,
    tag_account,
    team_account,
    user_account,
)
from meshgate_ledger.records import AccountRecord, KeyRecord, Principal


@dataclass(frozen=True, slots=True)
class Scope:
    """An account as the caller knows it. `has_budget`: its budgets apply to the call."""

    record: AccountRecord
    has_budget: bool = True


def payer_account(principal: Principal, key: KeyRecord | None) -> str:
    """Who pays. A key that got another secret keeps its account."""
    return key.account_id if key is not None and key.account_id else principal.account_id


def base_accounts(
    principal: Principal, key: KeyRecord | None, end_user: str, tags: tuple[str, ...]
) -> tuple[str, ...]:
    """Every account that a call may count on, were they all to exist; the payer first, none twice."""
    found = [payer_account(principal, key)]
    if key is not None:
        if key.user_id:
            found.append(user_account(key.user_id))
        if key.team_id:
            found.append(team_account(key.team_id))
            if key.user_id:
                found.append(member_account(key.team_id, key.user_id))
        if key.organization_id:
            found.append(organization_account(key.organization_id))
    tags = all_tags(key, tags)
    if end_user:
        found.append(customer_account(end_user))
    found.extend(tag_account(tag) for tag in tags)
    found.append(GATEWAY)
    return tuple(found) if not tags else tuple(dict.fromkeys(found))


def all_tags(key: KeyRecord | None, tags: tuple[str, ...]) -> tuple[str, ...]:
    """Of a call: those of its key, then its own; none twice."""
    return tags if key is None or not key.tags else tuple(dict.fromkeys((*key.tags, *tags)))


def with_models(
    account_ids: tuple[str, ...], model: str, known: Callable[[str], AccountRecord | None]
) -> tuple[str, ...]:
    """The accounts, and the parts of them that are for this model."""
    found: list[str] = []
    for account_id in account_ids:
        found.append(account_id)
        record = known(account_id)
        if record is not None and model in record.limited_models:
            found.append(model_account(account_id, model))
    return tuple(found)


def budget_applies(account_id: str, key: KeyRecord | None) -> bool:
    """A user's budget is for keys without a team: a team's calls are paid from the team's."""
    return key is None or not key.team_id or not account_id.startswith("user:")
