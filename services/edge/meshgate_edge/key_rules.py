"""What the configuration says of new keys: defaults, and how far their limits may go. Pure."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from pydantic import ValidationError

from meshgate_chassis.errors import Code, MeshError, invalid_field
from meshgate_edge.http_key_models import GenerateKeyRequest
from meshgate_edge.keys import parse_duration_s

DURATIONS: Final = frozenset({"duration", "budget_duration"})
BOUNDED: Final = DURATIONS | {"max_budget", "max_parallel_requests", "rpm_limit", "tpm_limit"}


class KeyRules:
    """LiteLLM's: what is not given gets the default, else the upper bound; more than that is refused.

    Raises FAILED_PRECONDITION/SETTINGS_INVALID for a configuration that no key could be made with.
    """

    def __init__(self, defaults: Mapping[str, object], upper_bounds: Mapping[str, object]) -> None:
        self._defaults = {name: value for name, value in defaults.items() if value is not None}
        self._upper = {name: value for name, value in upper_bounds.items() if value is not None}
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


def _size(name: str, value: object) -> Decimal:
    if name in DURATIONS:
        return Decimal(parse_duration_s(str(value), name))
    return Decimal(str(value))
