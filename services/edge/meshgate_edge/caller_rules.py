"""What a key and its team want of every call, checked once the ledger has told whose it is. Pure.

A call that is refused here has a hold, which is released; nothing was looked up for it, and nobody called.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from meshgate_chassis.chat.json import JsonObject
from meshgate_chassis.errors import Code, MeshError, invalid_field
from meshgate_edge.call import CacheOptions, ChatCall
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb

OTHER_NAMES: Final = {"s-max-age": "s-maxage"}


def check_caller(account: pb.Account, call: ChatCall) -> None:
    """Raises `invalid_field` for a member that is missing, PERMISSION_DENIED/CACHE_CONTROL_NOT_ALLOWED."""
    for name in account.enforced_params:
        if not has_member(call.members, name.split(".")):
            raise missing(name)
    if account.allowed_cache_controls:
        _check_controls(account.allowed_cache_controls, call.options.cache)


def members_of(body: JsonObject) -> Mapping[str, object]:
    """What `has_member` has to know of a request's body: objects, and that others are there. Null is not."""
    return {name: value if type(value) is dict else True for name, value in body.items() if value is not None}


def has_member(members: object, steps: Sequence[str]) -> bool:
    """Whether it is there, step by step within objects; null is not."""
    for step in steps:
        members = members.get(step) if isinstance(members, dict) else None
    return members is not None


def missing(name: str) -> MeshError:
    """The error for a call without a member that is required."""
    return invalid_field(name, f"please pass param={name} in the request body: it is required here")


def cache_controls(options: CacheOptions) -> Sequence[str]:
    """The controls that a call uses, by LiteLLM's names, however it says so."""
    used = {
        "no-cache": not options.read,
        "no-store": not options.write and options.ttl_s != 0,
        "ttl": options.ttl_s is not None,
        "s-maxage": options.max_age_s is not None,
        "namespace": bool(options.namespace),
        "use-cache": options.opt_in,
    }
    return [name for name, is_used in used.items() if is_used]


def _check_controls(allowed: Sequence[str], options: CacheOptions) -> None:
    names = {OTHER_NAMES.get(name, name) for name in allowed}
    for control in cache_controls(options):
        if control not in names:
            raise MeshError(
                Code.PERMISSION_DENIED,
                "CACHE_CONTROL_NOT_ALLOWED",
                f"Not allowed to set {control} as a cache control: this key may set {', '.join(allowed)}.",
                domain="gateway.meshgate",
            )
