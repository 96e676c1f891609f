"""Values of gRPC's headers: nothing is lost, and no time limit becomes shorter."""

import base64
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshgate_chassis.rpc.http2.values import (
    decode_binary,
    decode_text,
    decode_timeout,
    encode_binary,
    encode_text,
    encode_timeout,
)

HOURS_MAX_S = 99_999_999 * 3_600.0


@given(st.floats(0, HOURS_MAX_S))
def test_a_time_limit_is_never_shorter(timeout_s: float) -> None:
    """What the peer reads is what was given or more, by at most one of the unit it is told in."""
    text = encode_timeout(timeout_s)
    assert text[:-1].isdigit()
    assert len(text) <= 9
    assert int(text[:-1]) > 0
    unit_s = {"u": 1e-6, "m": 1e-3, "S": 1.0, "H": 3_600.0}[text[-1]]
    assert timeout_s <= decode_timeout(text) <= (timeout_s + unit_s) * (1 + 1e-12)


@given(st.integers(1, 99_999_999), st.sampled_from("umS"))
def test_a_time_limit_that_fits_its_unit_is_exact(count: int, unit: str) -> None:
    """Whole microseconds, milliseconds and seconds come back as they were."""
    timeout_s = decode_timeout(f"{count}{unit}")
    assert decode_timeout(encode_timeout(timeout_s)) == timeout_s


@pytest.mark.parametrize(
    ("timeout_s", "text"),
    [
        (3.0, "3000000u"),
        (0.0, "1u"),
        (-5.0, "1u"),
        (1e-9, "1u"),
        (99.999999, "99999999u"),
        (99.9999999, "100000m"),
        (100.0, "100000m"),
        (99_999.9991, "100000S"),
        (1e8, "27778H"),
        (1e300, "99999999H"),
        (float("inf"), "99999999H"),
    ],
)
def test_units_of_a_time_limit(timeout_s: float, text: str) -> None:
    """The finest unit that has room in eight digits; no time at all is the shortest there is."""
    assert encode_timeout(timeout_s) == text


@pytest.mark.parametrize(
    ("text", "timeout_s"),
    [("1H", 3_600.0), ("2M", 120.0), ("3S", 3.0), ("4m", 0.004), ("5u", 5e-6), ("6n", 6e-9), ("0S", 0.0)],
)
def test_every_unit_is_read(text: str, timeout_s: float) -> None:
    """The six units of gRPC, from hours to nanoseconds."""
    assert decode_timeout(text) == timeout_s


@pytest.mark.parametrize(
    "text", ["", "S", "5", "5s", "-5S", "+5S", "5.0S", " 5S", "5 S", "1_0S", "123456789S", "٣S", "²S", "5SS"]
)
def test_what_is_no_time_limit(text: str) -> None:
    """Anything but one to eight digits and a unit is a ValueError."""
    with pytest.raises(ValueError, match="no grpc-timeout"):
        decode_timeout(text)


@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    """Percent-encoded it is printable ASCII; an independent decoder reads it, too."""
    whole = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates have no UTF-8
    value = encode_text(text)
    assert value.isascii()
    assert value.isprintable()
    assert decode_text(value) == whole
    assert unquote(value) == whole


def test_only_what_must_be_encoded_is() -> None:
    """gRPC: printable ASCII but the percent sign stays as it is."""
    plain = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
    assert encode_text(plain) == plain
    assert encode_text(plain + "é") == plain + "%C3%A9"
    assert encode_text("100%\n\x7f") == "100%25%0A%7F"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("%", "%"),
        ("100%zz%4", "100%zz%4"),
        ("%e4%BD%a0", "你"),
        ("%ff!", "\ufffd!"),
        ("a%E4b", "a\ufffdb"),
        ("\xc3\xa9", "é"),  # UTF-8 that was not encoded at all
    ],
)
def test_a_text_that_is_badly_encoded_is_still_read(value: str, text: str) -> None:
    """A status must not be lost for its message."""
    assert decode_text(value) == text


@given(st.text(), st.text(alphabet="%0aAfFzZ\xe9 "))
def test_reading_a_text_never_fails(anything: str, percent: str) -> None:
    """Any input gives some text that can be written as UTF-8."""
    assert [decode_text(text).encode("utf-8") is not None for text in (percent, f"%{percent}")] == [
        True,
        True,
    ]
    assert isinstance(decode_text(anything), str)


@given(st.binary())
def test_binary_comes_back_padded_or_not(value: bytes) -> None:
    """Base64 as the standard library writes it, without padding; read with it as well."""
    padded = base64.b64encode(value).decode()
    assert encode_binary(value) == padded.rstrip("=")
    assert decode_binary(padded.rstrip("=")) == value
    assert decode_binary(padded) == value


@given(st.binary(), st.binary())
def test_the_first_of_several_binaries_is_read(first: bytes, second: bytes) -> None:
    """Headers of one name may come joined by commas."""
    assert decode_binary(f"{encode_binary(first)},{encode_binary(second)}") == first
    assert decode_binary(f"{base64.b64encode(first).decode()} , {encode_binary(second)}") == first


@pytest.mark.parametrize("text", ["a", "abcde", "ab!d", "ab\nd", "a===b", "äöü=", "ab cd"])
def test_what_is_no_base64(text: str) -> None:
    """A ValueError, whatever is wrong."""
    with pytest.raises(ValueError):  # the text is the standard library's
        decode_binary(text)


@given(st.text())
def test_reading_a_binary_fails_with_value_error_only(text: str) -> None:
    """Any input is bytes or a ValueError."""
    try:
        assert isinstance(decode_binary(text), bytes)
    except ValueError:
        return
