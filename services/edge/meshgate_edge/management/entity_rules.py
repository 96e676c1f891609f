"""What the configuration says of new users and teams: members for those that are made without. Pure."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.management.entity_models import NewUserRequest
from meshgate_edge.management.limits import LIMIT_MEMBERS, SHORT_NAMES, LimitMembers
from meshgate_edge.management.team_models import NewTeamRequest

NOT_DEFAULTS = frozenset({"user_id", "team_id", "key_alias", "user_email"})  # of one, never of all
Body = TypeVar("Body", bound=LimitMembers)


class EntityRules:
    """`user`, `team`: default_internal_user_params and default_team_params.

    Raises FAILED_PRECONDITION/SETTINGS_INVALID for members that no user or team could have.
    """

    def __init__(
        self, user: Mapping[str, object] | None = None, team: Mapping[str, object] | None = None
    ) -> None:
        self._user = _checked(NewUserRequest, user or {}, "default_internal_user_params")
        self._team = _checked(NewTeamRequest, team or {}, "default_team_params")

    def user(self, asked: NewUserRequest) -> NewUserRequest:
        """With what was not given."""
        return _applied(asked, self._user)

    def team(self, asked: NewTeamRequest) -> NewTeamRequest:
        """With what was not given."""
        return _applied(asked, self._team)


def _checked(body: type[LimitMembers], members: Mapping[str, object], name: str) -> Mapping[str, Any]:
    known = body.model_fields.keys() - NOT_DEFAULTS
    found = {member: value for member, value in members.items() if member in known and value is not None}
    try:
        body(**found).limits()
    except (ValidationError, MeshError) as error:
        raise MeshError(Code.FAILED_PRECONDITION, "SETTINGS_INVALID", f"{name}: {error}") from error
    return found


def _applied(asked: Body, defaults: Mapping[str, Any]) -> Body:
    """Whoever names a budget gets its limits and no others."""
    if not defaults:
        return asked
    given = asked.model_dump(exclude_unset=True, exclude_none=True)
    for short, name in SHORT_NAMES.items():
        if short in given:
            given.setdefault(name, given.pop(short))
    left_out = LIMIT_MEMBERS if given.get("budget_id") else frozenset[str]()
    added = {name: value for name, value in defaults.items() if name not in left_out}
    return type(asked)(**{**added, **given})
