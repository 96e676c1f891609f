"""An entry comes back only from the bytes that were made of it, under its own key."""

import pytest

from meshgate_cache.entry import CacheEntry, decode, encode

ENTRY = CacheEntry(b"response", 1_700_000_000_000_000_000, "déployment", 123_456_789_012)


def test_an_entry_survives() -> None:
    """All of it, also when it is empty."""
    empty = CacheEntry(b"", 0, "", 0)

    assert ENTRY == decode(encode(ENTRY, "key"), "key")
    assert empty == decode(encode(empty, "key"), "key")


def test_an_entry_under_another_key_is_a_miss() -> None:
    """A value that somebody copied, or an answer to another command."""
    assert decode(encode(ENTRY, "key"), "other") is None


def test_a_value_that_was_cut_is_a_miss() -> None:
    """At every length."""
    value = encode(ENTRY, "key")

    assert [None] * len(value) == [decode(value[:length], "key") for length in range(len(value))]


def test_a_value_with_a_flipped_bit_is_a_miss() -> None:
    """Wherever it is."""
    value = encode(ENTRY, "key")
    for index in range(len(value)):
        damaged = bytearray(value)
        damaged[index] ^= 1 << (index % 8)
        assert decode(bytes(damaged), "key") is None


@pytest.mark.parametrize("value", [b"", b"MGC1", b'{"timestamp": 1, "response": "{}"}', b"\x00" * 1_000])
def test_a_foreign_value_is_a_miss(value: bytes) -> None:
    """For example LiteLLM's, which has the same key names."""
    assert decode(value, "key") is None
