"""Names of answers: a cache key of everything that can change an answer, and where a store keeps it. Pure.

    cache key   64 hex digits: 16 of the tenant, then 48 of SHA-256 over version, tenant, namespace, variant
                and the canonical request (`canonical_chat`); of an embedding, over one input
                (`embedding_keys`)
    store key   "<namespace>:<cache key>", as LiteLLM names its Redis keys

Invariants: a key belongs to one tenant and one namespace, because both are hashed into it; the tenant can
be checked, and all answers of a tenant be found, without knowing the requests. A change of what is hashed
must change KEY_VERSION: then old answers are not found, and expire.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Final

KEY_VERSION: Final = 1
DEFAULT_NAMESPACE: Final = "meshgate:cache"  # where no configuration names one: a shared Redis stays readable
KEY_DIGITS: Final = 64
TENANT_DIGITS: Final = 16

_KEY_PATTERN: Final = re.compile(rf"[0-9a-f]{{{KEY_DIGITS}}}")
_DOMAIN: Final = b"meshgate.cache.key"


def cache_key(tenant_id: str, namespace: str, canonical_request: bytes, variant: str = "") -> str:
    """The key of a request's answer. `namespace` is the one in force, not the empty default."""
    digest = hashlib.sha256(frame(_DOMAIN, *_of(variant), KEY_VERSION.to_bytes(4, "big"), tenant_id.encode()))
    digest.update(frame(namespace.encode()))
    digest.update(canonical_request)  # the last part needs no length: nothing follows it
    return tenant_digest(tenant_id) + digest.hexdigest()[TENANT_DIGITS:]


def embedding_keys(
    tenant_id: str, namespace: str, parameters: bytes, inputs: Sequence[bytes], variant: str = ""
) -> list[str]:
    """The keys of the vectors of inputs. `parameters`: the canonical request without its inputs."""
    common = hashlib.sha256(
        frame(_DOMAIN, b"embedding", *_of(variant), KEY_VERSION.to_bytes(4, "big"), tenant_id.encode())
    )
    common.update(frame(namespace.encode(), parameters))
    tenant, made = tenant_digest(tenant_id), []
    for each in inputs:
        digest = common.copy()
        digest.update(each)  # the last part needs no length
        made.append(tenant + digest.hexdigest()[TENANT_DIGITS:])
    return made


def _of(variant: str) -> tuple[bytes, ...]:
    """Parts that nothing without a variant has."""
    return (b"variant", variant.encode("utf-8", "surrogatepass")) if variant else ()


def vector_key(digest_of_tenant: str, namespace: str, model: str, text: str) -> str:
    """The key of a text's vector; `digest_of_tenant` as `tenant_digest` gives it."""
    digest = hashlib.sha256(frame(_DOMAIN, b"vector", KEY_VERSION.to_bytes(4, "big")))
    digest.update(frame(digest_of_tenant.encode(), namespace.encode(), model.encode()))
    digest.update(text.encode("utf-8", "surrogatepass"))  # the last part needs no length
    return digest_of_tenant + digest.hexdigest()[TENANT_DIGITS:]


def tenant_digest(tenant_id: str) -> str:
    """The part of a key that names its tenant."""
    return hashlib.sha256(frame(_DOMAIN, b"tenant", tenant_id.encode())).hexdigest()[:TENANT_DIGITS]


def is_key_of(tenant_id: str, key: str) -> bool:
    """True for a well-formed cache key of this tenant; of any tenant when `tenant_id` is empty."""
    if _KEY_PATTERN.fullmatch(key) is None:
        return False
    return not tenant_id or key.startswith(tenant_digest(tenant_id))


def store_key(namespace: str, key: str) -> str:
    """Where a store keeps the answer."""
    return f"{namespace}:{key}"


def store_prefix(namespace: str, tenant_id: str) -> str:
    """What the store keys of a namespace begin with; of one tenant only, unless `tenant_id` is empty."""
    return f"{namespace}:{tenant_digest(tenant_id) if tenant_id else ''}"


def is_store_key_under(prefix: str, name: str) -> bool:
    """True for a store key with this `store_prefix`; false for keys of a longer namespace, and of others."""
    namespace_end = prefix.rfind(":") + 1
    return name.startswith(prefix) and _KEY_PATTERN.fullmatch(name, namespace_end) is not None


def namespace_of(name: str) -> str | None:
    """Of a store key; None for a name that is none."""
    namespace, colon, key = name.rpartition(":")
    return namespace if colon and _KEY_PATTERN.fullmatch(key) is not None else None


def frame(*parts: bytes) -> bytes:
    """Parts with their lengths, so that no two lists of parts give the same bytes."""
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)
