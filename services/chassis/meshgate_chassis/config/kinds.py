"""What a setting may be: one function per kind, from a node to a checked value.

Every kind raises `KindError` for what it does not accept. Numbers and booleans may also come as text,
because `os.environ/NAME` always gives text. No message carries the value: it may be a secret.
"""

import re
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from ipaddress import ip_network
from typing import TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from meshgate_chassis.config.model import Secret
from meshgate_chassis.config.node import Node, plain
from meshgate_chassis.config.problems import nearest

NUMBER_MAX = Decimal(10) ** 18
NANOS_PER_USD = 10**9
TOKENS_PER_MTOK = 10**6
TOKEN_PRICE_USD_MAX = 1_000  # per token; more is a slip of the unit

DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|mo|s|m|h|d|w)")
DURATION_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "mo": 2_592_000}
TRUE = ("true", "yes", "on", "1")
FALSE = ("false", "no", "off", "0")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class KindError(Exception):
    """A value is not of its kind. `node`: the part that is wrong, when it is not the whole."""

    def __init__(self, message: str, *, suggestion: str | None = None, node: Node | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.suggestion = suggestion
        self.node = node


Kind: TypeAlias = Callable[[Node], object]


def anything(node: Node) -> object:
    """Known, but not acted on yet."""
    return plain(node)


def text(node: Node) -> str:
    """Text; a number is taken as it is written."""
    if isinstance(node.value, str):
        return node.value
    if isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return str(node.value)
    raise KindError(f"must be text, not {named(node)}")


def secret(node: Node) -> Secret:
    """A credential."""
    return Secret(text(node))


def url(node: Node) -> str:
    """An http or https address."""
    value = text(node).strip()
    if not value.startswith(("http://", "https://")):
        raise KindError("must be an address that begins with http:// or https://")
    return value


def redis_address(node: Node) -> Secret:
    """Where a Redis is, with its password."""
    return _address(node, "redis://", "rediss://", "unix://")


def redis_nodes(node: Node) -> tuple[tuple[str, int], ...]:
    """Servers of a Redis Cluster: [{host: h, port: 7001}, ...]."""
    found = []
    for item in listing(node):
        members = mapping(item)
        if not {"host", "port"} <= members.keys():
            raise KindError("must have a host and a port", node=item)
        found.append((text(members["host"]), port(members["port"])))
    return tuple(found)


def postgres_address(node: Node) -> Secret:
    """Where a PostgreSQL is, with its password."""
    return _address(node, "postgresql://", "postgres://")


def flag(node: Node) -> bool:
    """A boolean."""
    if isinstance(node.value, bool):
        return node.value
    known = boolean(str(node.value)) if isinstance(node.value, str | int) else None
    if known is None:
        raise KindError(f"must be true or false, not {named(node)}", node=node)
    return known


def boolean(value: str) -> bool | None:
    """What people write for true and false; None for anything else."""
    word = value.strip().lower()
    return True if word in TRUE else False if word in FALSE else None


def number(node: Node) -> float:
    """A finite number of any sign."""
    value = _decimal(node)
    return int(value) if value == value.to_integral_value() else float(value)


def amount(node: Node) -> float:
    """A number that is not negative."""
    return float(_not_negative(_decimal(node)))


def share(node: Node) -> float:
    """A number above 0, at most 1."""
    value = _decimal(node)
    if not 0 < value <= 1:
        raise KindError("must be above 0 and at most 1")
    return float(value)


def count(node: Node) -> int:
    """A whole number that is not negative."""
    value = _not_negative(_decimal(node))
    if value != value.to_integral_value():
        raise KindError("must be a whole number")
    return int(value)


def port(node: Node) -> int:
    """A TCP port."""
    value = count(node)
    if not 0 < value < 65_536:
        raise KindError("must be a port")
    return value


def seconds(node: Node) -> float:
    """A number of seconds, or a duration such as "30s" or "1h"."""
    if isinstance(node.value, str):
        duration = parse_duration(node.value)
        if duration is None:
            raise KindError('must be seconds, or a duration such as "30s", "5m", "1h", "1d"')
        return duration
    return amount(node)


def timeout(node: Node) -> float:
    """Seconds above 0."""
    value = seconds(node)
    if value <= 0:
        raise KindError("must be above 0")
    return value


def price(node: Node) -> int:
    """USD per token -> nano-USD per million tokens: exact, or rounded half-even once below that unit."""
    usd_per_token = _not_negative(_decimal(node))
    if usd_per_token > TOKEN_PRICE_USD_MAX:
        raise KindError("is USD per token: this is too much to be true")
    return int((usd_per_token * NANOS_PER_USD * TOKENS_PER_MTOK).to_integral_value(ROUND_HALF_EVEN))


def mapping(node: Node) -> dict[str, Node]:
    """Members by name."""
    if not isinstance(node.value, dict):
        raise KindError(f"must be a mapping, not {named(node)}", node=node)
    return node.value


def json_object(node: Node) -> dict[str, object]:
    """A JSON object that is passed on as it is."""
    return {key: plain(member) for key, member in mapping(node).items()}


def listing(node: Node) -> list[Node]:
    """Any list."""
    if not isinstance(node.value, list):
        raise KindError(f"must be a list, not {named(node)}", node=node)
    return node.value


def names(node: Node) -> tuple[str, ...]:
    """A list of names; one name stands for a list of one."""
    if isinstance(node.value, str):
        return (node.value,)
    found = []
    for item in listing(node):
        if not isinstance(item.value, str):
            raise KindError(f"must be a name, not {named(item)}", node=item)
        found.append(item.value)
    return tuple(found)


def networks(node: Node) -> tuple[str, ...]:
    """Addresses or networks of the internet: 10.0.0.1, 10.0.0.0/8, ::1."""
    found = names(node)
    for each in found:
        try:
            ip_network(each, strict=False)
        except ValueError:
            raise KindError(f"{each!r} is neither an address nor a network") from None
    return found


def words(node: Node) -> tuple[str, ...]:
    """A list of texts and numbers. Not one alone: LiteLLM takes that for the path of a file."""
    return tuple(text(item) for item in listing(node) if item.value is not None and str(item.value).strip())


def mapping_or_names(node: Node) -> Node:
    """A mapping, or a list of names; what reads it takes the node apart."""
    if not isinstance(node.value, dict):
        names(node)
    return node


def name_list(node: Node) -> list[str]:
    """Names, as a JSON array that is passed on."""
    return list(names(node))


def headers(node: Node) -> dict[str, str]:
    """Header names and their values; one without a value is left out."""
    found = {}
    for name, value in mapping(node).items():
        if isinstance(value.value, dict | list):
            raise KindError(f"must be text, not {named(value)}", node=value)
        if value.value is not None:
            found[name] = str(value.value)
    return found


def choice(*allowed: str) -> Kind:
    """One of some words."""

    def read(node: Node) -> str:
        value = text(node)
        if value not in allowed:
            raise KindError(f"must be one of {', '.join(allowed)}", suggestion=nearest(value, allowed))
        return value

    return read


def log_level(node: Node) -> str:
    """A level of logging, in any case."""
    value = text(node).upper()
    if value not in LOG_LEVELS:
        raise KindError(f"must be one of {', '.join(LOG_LEVELS)}", suggestion=nearest(value, LOG_LEVELS))
    return value


def time_zone(node: Node) -> str:
    """The name of a time zone, such as America/Los_Angeles."""
    value = text(node).strip()
    try:
        ZoneInfo(value)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise KindError("must be a time zone, such as America/Los_Angeles") from None
    return value


def parse_duration(value: str) -> float | None:
    """Seconds of "90", "1.5", "30s", "5m", "1h30m", "7d", "2w", "1mo" (30 days); None for anything else."""
    stripped = value.strip().lower()
    if re.fullmatch(r"\d{1,12}(\.\d+)?", stripped):
        return float(stripped)
    parts = DURATION_PART.findall(stripped)
    if not parts or DURATION_PART.sub("", stripped).strip() or len(stripped) > 40:
        return None
    return float(sum(float(size) * DURATION_UNITS_S[unit] for size, unit in parts))


def named(node: Node) -> str:
    """What a value is, in words, without saying the value."""
    if node.value is None:
        return "nothing"
    if isinstance(node.value, bool):
        return "true or false"
    words = {int: "a number", float: "a number", str: "text", list: "a list", dict: "a mapping"}
    return words[type(node.value)]


def _address(node: Node, *schemes: str) -> Secret:
    value = text(node).strip()
    if not value.startswith(schemes):
        raise KindError(f"must be an address that begins with {' or '.join(schemes)}")
    return Secret(value)


def _decimal(node: Node) -> Decimal:
    if isinstance(node.value, bool) or not isinstance(node.value, int | float | str):
        raise KindError(f"must be a number, not {named(node)}")
    try:
        value = Decimal(str(node.value).strip())
    except InvalidOperation:
        raise KindError(f"must be a number, not {named(node)}") from None
    if not value.is_finite() or abs(value) >= NUMBER_MAX:
        raise KindError("is too large")
    return value


def _not_negative(value: Decimal) -> Decimal:
    if value < 0:
        raise KindError("must not be negative")
    return value
