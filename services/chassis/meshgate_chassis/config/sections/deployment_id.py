"""The id of a deployment that has none: SHA-256 over its litellm_params as they are written.

References to the environment stay references, so a rotated key keeps the id; literal credentials enter
by their own SHA-256. Every service computes the same id from the same file.
"""

import hashlib
import json

from meshgate_chassis.config.node import Node

SECRET_KEYS = frozenset(
    """
    api_key aws_access_key_id aws_secret_access_key aws_session_token aws_web_identity_token azure_ad_token
    azure_password client_secret extra_headers headers vertex_credentials
    """.split()
)


def computed_id(params: Node) -> str:
    """64 hexadecimal digits."""
    canonical = json.dumps(_written(params), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _written(node: Node, *, is_secret: bool = False) -> object:
    if isinstance(node.value, dict):
        return {
            key: _written(member, is_secret=is_secret or key in SECRET_KEYS)
            for key, member in node.value.items()
        }
    if isinstance(node.value, list):
        return [_written(item, is_secret=is_secret) for item in node.value]
    if is_secret and node.written is not None and not str(node.written).startswith("os.environ/"):
        return hashlib.sha256(str(node.written).encode()).hexdigest()
    return node.written
