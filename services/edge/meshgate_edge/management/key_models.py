"""Bodies of the key endpoints, as FastAPI validates and documents them."""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, Field, JsonValue

from meshgate_edge.management.managed_body import ManagedBody

KeyType = Literal["llm_api", "management", "read_only", "default"]
RULES_MAX = 64
MemberName = Annotated[str, Field(min_length=1, max_length=256)]

# Whoever implements a member adds it here; all others are named to the client. Limits are acted on anyway.
ACTED_ON = frozenset(
    {
        "key",
        "key_alias",
        "duration",
        "models",
        "aliases",
        "user_id",
        "team_id",
        "organization_id",
        "budget_id",
    }
    | {"metadata", "blocked", "tags", "allowed_routes", "key_type"}
)


class KeyMembers(ManagedBody):
    """LiteLLM's members of a key. Those that this version does not act on are kept with the key, as given,
    and named in the answer's header x-meshgate-not-enforced. So are those that nobody knows; they are not
    kept."""

    ACTED_ON: ClassVar[frozenset[str]] = ACTED_ON
    RULES: ClassVar[frozenset[str]] = frozenset({"allowed_cache_controls", "enforced_params"})

    key_alias: str | None = Field(None, max_length=256)
    duration: str | None = Field(None, description="Until the key expires: 30s, 15m, 24h, 30d, 2w, 1mo.")
    models: list[str] | None = Field(None, max_length=1_000, description="What it may use; empty: all.")
    aliases: dict[str, str] | None = Field(None, max_length=1_000)
    user_id: str | None = Field(None, max_length=200)
    team_id: str | None = Field(None, max_length=200)
    organization_id: str | None = Field(None, max_length=200)
    budget_id: str | None = Field(None, max_length=200, description="A budget of /budget/new.")
    metadata: dict[str, JsonValue] | None = None
    blocked: bool | None = None
    tags: list[str] | None = Field(None, max_length=64, description="Of every call with the key.")
    allowed_routes: list[str] | None = Field(
        None, max_length=100, description="Paths, with * at the end, or groups such as llm_api_routes."
    )
    key_type: KeyType | None = Field(None, description="The same in one word, instead of allowed_routes.")

    spend: float | None = None
    config: dict[str, JsonValue] | None = None
    permissions: dict[str, JsonValue] | None = None
    guardrails: list[str] | None = None
    allowed_cache_controls: list[MemberName] | None = Field(
        None, max_length=RULES_MAX, description="Of no-cache, no-store, ttl, s-maxage, namespace, use-cache."
    )
    enforced_params: list[MemberName] | None = Field(
        None, max_length=RULES_MAX, description="Members that its calls must have: user, metadata.x."
    )


class GenerateKeyRequest(KeyMembers):
    """Everything is optional."""

    key: str | None = Field(None, description="The secret itself; must start with sk-. Made when absent.")


class UpdateKeyRequest(KeyMembers):
    """Changes what is given, and nothing else; null removes."""

    key: str = Field(max_length=512, description="The key or its hash.")


class RegenerateKeyRequest(KeyMembers):
    """What else is to change."""

    key: str | None = Field(None, max_length=512, description="The key or its hash, when the path has none.")
    new_key: str | None = Field(None, description="The new secret; made when absent.")
    new_master_key: str | None = Field(None, description="Not supported: the master key is configured.")


class NamedKeyRequest(BaseModel):
    """A key."""

    key: str = Field(max_length=512, description="The key or its hash.")


class NamedKeysRequest(BaseModel):
    """Keys."""

    keys: list[str] = Field(max_length=1_000, description="Keys or their hashes.")


class DeleteKeysRequest(BaseModel):
    """Any of the three; keys or their hashes."""

    keys: list[str] | None = Field(None, max_length=1_000)
    key_aliases: list[str] | None = Field(None, max_length=1_000)
    key: str | None = None
