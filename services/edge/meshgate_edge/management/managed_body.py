"""Bodies whose members are many, and not all acted on.

A member that nothing acts on is accepted, because LiteLLM's clients send it, kept, given back, and named in
the header x-meshgate-not-enforced, because a limit that is ignored in silence is worse than an error.
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from meshgate_chassis.chat.json import JsonObject, dumps, loads_object
from meshgate_edge.management.limits import LIMIT_MEMBERS, LimitMembers

NOT_ENFORCED_HEADER: Final = "x-meshgate-not-enforced"
# Values that clients send and that ask for nothing, besides null, false and what is empty.
DEFAULTS: Final[Mapping[str, object]] = {"spend": 0}
MEMBER_NAME: Final = re.compile("[a-z][a-z0-9_]{0,63}")  # others are not repeated in a header
NAMED_MAX: Final = 30


class ManagedBody(LimitMembers):
    """Members that nobody knows are not kept."""

    ACTED_ON: ClassVar[frozenset[str]] = frozenset()  # besides limits
    RULES: ClassVar[frozenset[str]] = frozenset()  # of what is kept as given; acted on as well

    def kept(self) -> dict[str, Any]:
        """Members for a later version, as given."""
        left_out = {*self.ACTED_ON, *LIMIT_MEMBERS, *(self.model_extra or {})}
        return self.model_dump(exclude_unset=True, exclude=left_out)

    def settings_json(self, before: str = "") -> str:
        """What is kept, over what was kept before."""
        merged = (loads_object(before) if before else {}) | self.kept()
        merged = {name: value for name, value in merged.items() if value is not None}
        return dumps(merged).decode() if merged else ""

    def not_enforced(self) -> tuple[str, ...]:
        """The members that ask for something that does not happen, by LiteLLM's names, sorted; 30 at most."""
        given = {**(self.model_extra or {}), **self.kept()}
        asked = (name for name, value in given.items() if _asks(name, value) and name not in self.RULES)
        return tuple(sorted(name for name in asked if MEMBER_NAME.fullmatch(name))[:NAMED_MAX])


def kept_json(settings_json: str) -> JsonObject:
    """What was kept."""
    return loads_object(settings_json) if settings_json else {}


def _asks(name: str, value: object) -> bool:
    if value is None or value is False or value in ("", [], {}):
        return False
    return name not in DEFAULTS or value != DEFAULTS[name]
