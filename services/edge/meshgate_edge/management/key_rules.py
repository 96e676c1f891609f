"""What the configuration says of new keys: defaults, and how far their limits may go. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from pydantic import ValidationError

from meshgate_chassis.errors import Code, MeshError, invalid_field
from meshgate_edge.management.callers import ADMIN_ROLE
from meshgate_edge.management.key_models import GenerateKeyRequest
from meshgate_edge.management.key_values import parse_duration_s

DURATIONS: Final = frozenset({"duration", "budget_duration"})
TEAM: Final = "team_key_generation"
PERSONAL: Final = "personal_key_generation"
BOUNDED: Final = DURATIONS | {"max_budget", "max_parallel_requests", "rpm_limit", "tpm_limit"}


class KeyRules:
    """LiteLLM's: what is not given gets the default, else the upper bound; more than that is refused.

    Raises FAILED_PRECONDITION/SETTINGS_INVALID for a configuration that no key could be made with.
    """

    def __init__(
        self,
        defaults: Mapping[str, object],
        upper_bounds: Mapping[str, object],
        generation: Mapping[str, object] | None = None,
    ) -> None:
        self._defaults = {name: value for name, value in defaults.items() if value is not None}
        self._upper = {name: value for name, value in upper_bounds.items() if value is not None}
        self._generation = {kind: _Generation.of(kind, generation or {}) for kind in (TEAM, PERSONAL)}
        try:
            for name in self._upper.keys() - BOUNDED:
                raise invalid_field(name, f"{name} has no upper bound")
            GenerateKeyRequest(**dict(self._upper)).limits()
            self.applied(GenerateKeyRequest())
        except (ValidationError, MeshError) as error:
            message = f"default_ or upperbound_key_generate_params: {error}"
            raise MeshError(Code.FAILED_PRECONDITION, "SETTINGS_INVALID", message) from error

    def applied(self, asked: GenerateKeyRequest) -> GenerateKeyRequest:
        """With what was not given. Raises `invalid_field` for more than is allowed."""
        if not self._defaults and not self._upper:
            return asked
        given = asked.model_dump(exclude_unset=True, exclude_none=True)
        for short, name in (("rpm", "rpm_limit"), ("tpm", "tpm_limit")):
            if short in given:
                given.setdefault(name, given.pop(short))
        merged: dict[str, Any] = {**self._upper, **self._defaults, **given}
        for name, highest in self._upper.items():
            if _size(name, merged[name]) > _size(name, highest):
                raise invalid_field(name, f"{name} may not be more than {highest}")
        return GenerateKeyRequest(**merged)

    def check(self, asked: GenerateKeyRequest) -> None:
        """Before a key is made of it. Raises `invalid_field` for a member that is required, and
        PERMISSION_DENIED/KEY_NOT_OWN where admins make no keys of this kind."""
        rules = self._generation[TEAM if asked.team_id else PERSONAL]
        if not rules.by_admins:
            message = "key_generation_settings: proxy_admin makes no keys of this kind, and nobody else can"
            raise MeshError(Code.PERMISSION_DENIED, "KEY_NOT_OWN", message, domain="gateway.meshgate")
        for name in rules.required:
            if getattr(asked, name, None) in (None, "", [], {}):
                raise invalid_field(name, f"key_generation_settings: {name} is required")


@dataclass(frozen=True, slots=True)
class _Generation:
    """`by_admins` False: a list of roles that does not have theirs. Only admins make keys here."""

    required: Sequence[str] = ()
    by_admins: bool = True

    @classmethod
    def of(cls, kind: str, settings: Mapping[str, object]) -> "_Generation":
        """Raises FAILED_PRECONDITION/SETTINGS_INVALID for what is no list of names."""
        members = settings.get(kind) or {}
        if not isinstance(members, Mapping):
            raise _invalid_generation(kind)
        required = members.get("required_params") or []
        roles = members.get("allowed_user_roles") if kind == PERSONAL else None
        for names in (required, roles or []):
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise _invalid_generation(kind)
        return cls(tuple(required), not roles or ADMIN_ROLE in roles)


def _invalid_generation(kind: str) -> MeshError:
    message = f"key_generation_settings.{kind}: required_params and allowed_user_roles are lists of names"
    return MeshError(Code.FAILED_PRECONDITION, "SETTINGS_INVALID", message)


def _size(name: str, value: object) -> Decimal:
    if name in DURATIONS:
        return Decimal(parse_duration_s(str(value), name))
    return Decimal(str(value))
