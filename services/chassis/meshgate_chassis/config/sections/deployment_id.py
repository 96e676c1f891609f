"""The id of a deployment that has none: SHA-256 over its litellm_params as they are written.

References to the environment stay references, so a rotated key keeps the id; literal credentials enter
by their own SHA-256. Every service computes the same id from the same file.
"""

import hashlib
import json

from meshgate_chassis.config.node import Node

SECRET_KEY_PARTS = ("api_key", "secret", "token", "password", "credential", "headers", "access_key")


def computed_id(params: Node) -> str:
    """64 hexadecimal digits."""
    canonical = json.dumps(_written(params), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _written(node: Node, *, is_secret: bool = False) -> object:
    if isinstance(node.value, dict):
        return {
            key: _written(member, is_secret=is_secret or _names_secret(key))
            for key, member in node.value.items()
        }
    if isinstance(node.value, list):
        return [_written(item, is_secret=is_secret) for item in node.value]
    if is_secret and node.written is not None and not str(node.written).startswith("os.environ/"):
        return hashlib.sha256(str(node.written).encode()).hexdigest()
    return node.written


def _names_secret(key: str) -> bool:
    """Whether a key's value may be a credential. What is caught besides (a price per token) does no harm."""
    return any(part in key for part in SECRET_KEY_PARTS)
