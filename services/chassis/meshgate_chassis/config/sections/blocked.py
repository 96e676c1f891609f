"""Who is refused: `blocked_users` (a reference deployment's) and `litellm_settings.blocked_user_list`."""

import re
from collections.abc import Sequence
from hashlib import sha256

HASH = re.compile("[0-9a-f]{64}")


def blocked_hashes(names: Sequence[str]) -> frozenset[str]:
    """Names are user ids, keys, or hashes of keys. Of the first two only the SHA-256 stays in memory."""
    hashes = {name.strip().lower() for name in names if HASH.fullmatch(name.strip().lower())}
    return frozenset(hashes | {sha256(name.encode()).hexdigest() for name in names})
