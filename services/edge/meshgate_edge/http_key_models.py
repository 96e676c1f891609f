"""Bodies of the key endpoints, as FastAPI validates and documents them. Unknown members are ignored."""

from typing import Any

from pydantic import BaseModel, Field, JsonValue

ACTED_ON = frozenset(
    {"key", "key_alias", "duration", "models", "aliases", "user_id", "team_id", "max_budget"}
    | {"metadata", "blocked", "spend"}
)


class GenerateKeyRequest(BaseModel):
    """LiteLLM's members. Those that this version does not act on are kept with the key, as given."""

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
        kept = self.model_dump(exclude_unset=True, exclude=set(ACTED_ON))
        for short, name in (("rpm", "rpm_limit"), ("tpm", "tpm_limit")):
            if (value := kept.pop(short, None)) is not None:
                kept.setdefault(name, value)
        return kept


class DeleteKeysRequest(BaseModel):
    """Any of the three; keys or their hashes."""

    keys: list[str] | None = Field(None, max_length=1_000)
    key_aliases: list[str] | None = Field(None, max_length=1_000)
    key: str | None = None
