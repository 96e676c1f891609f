"""Keys name one tenant, one namespace and one request."""

import re

import pytest

from meshgate_cache import keys


def test_a_key_is_64_hex_digits() -> None:
    """As the contract says."""
    assert re.fullmatch("[0-9a-f]{64}", keys.cache_key("tenant", "namespace", b"request"))


def test_the_key_of_version_1_is_pinned() -> None:
    """Who changes what is hashed must raise KEY_VERSION: replicas of two versions share a Redis."""
    assert keys.KEY_VERSION == 1
    assert "240664fee269ee27001f474f20c81a1dabb64a19c61edd5d2e9fcf824f38a813" == keys.cache_key(
        "tenant", "namespace", b"request"
    )


def test_parts_do_not_run_into_each_other() -> None:
    """The same characters, divided differently, are another key."""
    first = keys.cache_key("tenant", "name", b"space")
    second = keys.cache_key("tenant", "names", b"pace")
    third = keys.cache_key("tenantn", "ame", b"space")

    assert 3 == len({first[16:], second[16:], third[16:]})


def test_a_tenant_recognises_its_keys() -> None:
    """And no others; nobody recognises what is no key."""
    key = keys.cache_key("a", "n", b"r")

    assert keys.is_key_of("a", key)
    assert keys.is_key_of("", key)
    assert not keys.is_key_of("b", key)
    assert not keys.is_key_of("", key[:-1])
    assert not keys.is_key_of("", key.upper())
    assert not keys.is_key_of("", f"{key}\n")


@pytest.mark.parametrize("namespace", ["n", "litellm:cache", "a*b", ""])
def test_a_prefix_finds_its_namespace_and_tenant_only(namespace: str) -> None:
    """A longer namespace that begins alike is another one."""
    name = keys.store_key(namespace, keys.cache_key("a", namespace, b"r"))
    longer = keys.store_key(f"{namespace}:x", keys.cache_key("a", namespace, b"r"))

    assert keys.is_store_key_under(keys.store_prefix(namespace, ""), name)
    assert keys.is_store_key_under(keys.store_prefix(namespace, "a"), name)
    assert not keys.is_store_key_under(keys.store_prefix(namespace, "b"), name)
    assert not keys.is_store_key_under(keys.store_prefix(namespace, ""), longer)
    assert not keys.is_store_key_under(keys.store_prefix(namespace, ""), f"{namespace}:other")
