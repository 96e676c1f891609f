"""Keys as values: secrets, durations and money."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshgate_chassis.errors import MeshError
from meshgate_edge.http.authentication import key_hash
from meshgate_edge.management.key_values import (
    custom_key,
    hash_of,
    key_name,
    nanos_to_usd,
    new_key,
    parse_duration_s,
    usd_to_nanos,
)


def test_a_new_key_has_litellms_form() -> None:
    """25 characters that need no escaping anywhere."""
    assert "sk-_____________________w" == new_key(lambda count: b"\xff" * count)
    assert 25 == len(new_key(bytes))


def test_a_key_is_named_by_its_end() -> None:
    """Which is all that may be shown."""
    assert "sk-...wxyz" == key_name("sk-abcdefghijklmnopqrstuvwxyz")


def test_a_hash_is_as_good_as_its_key() -> None:
    """Wherever a key is named."""
    assert key_hash("sk-1") == hash_of("sk-1") == hash_of(hash_of("sk-1"))


@pytest.mark.parametrize(
    "key", ["", "secret-without-prefix", "sk-short", "sk-with spaces inside", "sk-" + "x" * 300]
)
def test_a_custom_key_that_is_not_fit(key: str) -> None:
    """Is refused, and not repeated."""
    with pytest.raises(MeshError, match="Invalid key format") as caught:
        custom_key(key)

    assert not key or key not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "duration_s"),
    [("30s", 30), ("15m", 900), ("24h", 86_400), ("30d", 2_592_000), ("2w", 1_209_600), ("1mo", 2_592_000)],
)
def test_durations(text: str, duration_s: int) -> None:
    """LiteLLM's units."""
    assert duration_s == parse_duration_s(text)


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5h", "1y", "0s", "9999999999mo", "1d ", "\u0661d"])
def test_what_is_no_duration(text: str) -> None:
    """Is refused by its name."""
    with pytest.raises(MeshError) as caught:
        parse_duration_s(text)

    assert ["duration"] == list(caught.value.fields)


@pytest.mark.parametrize(
    ("usd", "nanos"),
    [(0, 0), (5.0, 5 * 10**9), (0.1, 10**8), (1e-9, 1), (5e-10, 0), (1.5e-9, 2), (1e9, 10**18)],
)
def test_usd_are_taken_as_they_were_written(usd: float, nanos: int) -> None:
    """0.1 is a tenth; halves go to the even side."""
    assert nanos == usd_to_nanos(usd, "max_budget")


@given(st.integers(0, 10**15))
def test_usd_survive_the_way_out_and_in(nanos: int) -> None:
    """Up to a million USD, to the nano."""
    assert nanos == usd_to_nanos(nanos_to_usd(nanos), "max_budget")


@pytest.mark.parametrize("usd", [-1, -1e-12, float("nan"), float("inf"), 1e10])
def test_amounts_that_nobody_means(usd: float) -> None:
    """Are refused by their name."""
    with pytest.raises(MeshError) as caught:
        usd_to_nanos(usd, "max_budget")

    assert ["max_budget"] == list(caught.value.fields)
