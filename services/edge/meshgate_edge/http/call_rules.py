"""What the configuration wants every call to say: `enforce_user_param` and `enforced_params`. Pure."""

from collections.abc import Sequence

from meshgate_chassis.chat.json import JsonObject
from meshgate_chassis.errors import invalid_field
from meshgate_edge.call import CallOptions
from meshgate_edge.caller_rules import has_member, missing


class CallRules:
    """`required`: members of the body; with a dot: within one of them, as metadata.generation_name."""

    def __init__(self, *, user_required: bool = False, required: Sequence[str] = ()) -> None:
        self._user_required = user_required
        self._required = tuple((name, name.split(".")) for name in required)

    def check(self, body: JsonObject, options: CallOptions) -> None:
        """`body`: as it came. Raises `invalid_field` for the first that is missing."""
        if self._user_required and not (body.get("user") or options.end_user):
            raise invalid_field("user", "'user' param not passed in: this gateway wants to know the end user")
        for name, steps in self._required:
            if not has_member(body, steps):
                raise missing(name)
