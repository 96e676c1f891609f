"""Bodies of the key endpoints, as FastAPI validates and documents them.

A member that nothing acts on is accepted, because LiteLLM's clients send it, and named by `not_enforced`,
because a limit that is ignored in silence is worse than an error.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue

# Whoever implements a member adds it here; all others are named to the client.
ACTED_ON: Final = frozenset(
    {"key", "key_alias", "duration", "models", "aliases", "user_id", "team_id", "max_budget"}
    | {"metadata", "blocked"}
)
SHORT_NAMES: Final = {"rpm": "rpm_limit", "tpm": "tpm_limit"}
# Values that clients send and that ask for nothing, besides null, false and what is empty.
DEFAULTS: Final[Mapping[str, object]] = {"spend": 0, "key_type": "default"}

MEMBER_NAME: Final = re.compile("[a-z][a-z0-9_]{0,63}")  # others are not repeated in a header
NAMED_MAX: Final = 30


class GenerateKeyRequest(BaseModel):
    """LiteLLM's members. Those that this version does not act on are kept with the key, as given, and named
    in the answer's header x-meshgate-not-enforced. So are those that nobody knows; they are not kept."""

    model_config = ConfigDict(extra="allow")

    key: str | None = Field(None, description="The secret itself; must start with sk-. Made when absent.")
    key_alias: str | None = Field(None, max_length=256)
    duration: str | None = Field(None, description="Until the key expires: 30s, 15m, 24h, 30d, 2w, 1mo.")
    models: list[str] | None = Field(None, max_length=1_000, description="What it may use; empty: all.")
    aliases: dict[str, str] | None = Field(None, max_length=1_000)
    user_id: str | None = Field(None, max_length=256)
    team_id: str | None = Field(None, max_length=256)
    max_budget: float | None = Field(None, description="USD that the key may spend.")
    metadata: dict[str, JsonValue] | None = None
    blocked: bool | None = None
    spend: float | None = None

    budget_duration: str | None = None
    soft_budget: float | None = None
    max_parallel_requests: int | None = None
    rpm_limit: int | None = None
    tpm_limit: int | None = None
    rpm: int | None = Field(None, description="The same as rpm_limit.")
    tpm: int | None = Field(None, description="The same as tpm_limit.")
    organization_id: str | None = None
    budget_id: str | None = None
    config: dict[str, JsonValue] | None = None
    permissions: dict[str, JsonValue] | None = None
    model_max_budget: dict[str, JsonValue] | None = None
    model_rpm_limit: dict[str, JsonValue] | None = None
    model_tpm_limit: dict[str, JsonValue] | None = None
    tags: list[str] | None = None
    guardrails: list[str] | None = None
    allowed_cache_controls: list[str] | None = None
    allowed_routes: list[str] | None = None
    enforced_params: list[str] | None = None
    key_type: str | None = None

    def kept(self) -> dict[str, Any]:
        """Members for a later version, as given."""
        kept = self.model_dump(exclude_unset=True, exclude={*ACTED_ON, *(self.model_extra or {})})
        for short, name in SHORT_NAMES.items():
            if (value := kept.pop(short, None)) is not None:
                kept.setdefault(name, value)
        return kept

    def not_enforced(self) -> tuple[str, ...]:
        """The members that ask for something that does not happen, by LiteLLM's names, sorted; 30 at most."""
        given = {**(self.model_extra or {}), **self.kept()}
        asked = (name for name, value in given.items() if _asks(name, value) and MEMBER_NAME.fullmatch(name))
        return tuple(sorted(asked)[:NAMED_MAX])


class DeleteKeysRequest(BaseModel):
    """Any of the three; keys or their hashes."""

    keys: list[str] | None = Field(None, max_length=1_000)
    key_aliases: list[str] | None = Field(None, max_length=1_000)
    key: str | None = None


def _asks(name: str, value: object) -> bool:
    if value is None or value is False or value in ("", [], {}):
        return False
    return name not in DEFAULTS or value != DEFAULTS[name]
