"""Secrets at rest: only who has the key opens them, and only for what they were sealed for."""

import base64
import secrets

import pytest

from meshgate_chassis.errors import MeshError
from meshgate_chassis.sealing import KEY_BYTES, Sealer, credential_context, keys_from

OLD, NEW = bytes(range(32)), bytes(range(100, 132))


def sealer(*keys: bytes) -> Sealer:
    return Sealer(keys, secrets.token_bytes)


def test_what_is_sealed_opens_under_its_own_context_only() -> None:
    """Another name, another provider, a changed byte: nothing opens."""
    context = credential_context("a", "openai")
    sealed = sealer(NEW).seal(b"sk-secret", context)
    assert b"sk-secret" == sealer(NEW).open(sealed, context)
    assert b"sk-secret" not in sealed
    for other in (credential_context("b", "openai"), credential_context("a", "anthropic"), b""):
        with pytest.raises(MeshError, match="CREDENTIAL_UNREADABLE"):
            sealer(NEW).open(sealed, other)
    for at in range(len(sealed)):
        broken = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        with pytest.raises(MeshError, match="CREDENTIAL_UNREADABLE"):
            sealer(NEW).open(broken, context)
    with pytest.raises(MeshError, match="CREDENTIAL_UNREADABLE"):
        sealer(NEW).open(b"short", context)


def test_the_same_secret_is_never_sealed_the_same_way() -> None:
    """A nonce is used once."""
    assert 100 == len({sealer(NEW).seal(b"x", b"") for _ in range(100)})


def test_a_new_key_is_put_before_the_old_one() -> None:
    """What the old one sealed opens still; what is sealed now does not need it."""
    old = sealer(OLD).seal(b"x", b"")
    both = sealer(NEW, OLD)
    assert b"x" == both.open(old, b"")
    assert b"x" == sealer(NEW).open(both.seal(b"x", b""), b"")


def test_names_and_providers_do_not_run_together() -> None:
    """ "a" + "bc" is not "ab" + "c"."""
    assert credential_context("a", "bc") != credential_context("ab", "c")


@pytest.mark.parametrize(
    "text",
    [NEW.hex(), base64.b64encode(NEW).decode(), base64.urlsafe_b64encode(NEW).decode().rstrip("=")],
)
def test_keys_are_read_as_hex_and_base64(text: str) -> None:
    """As openssl and Python write them."""
    assert (NEW,) == keys_from(text)
    assert (NEW, OLD) == keys_from(f"{text}, {OLD.hex()}")


@pytest.mark.parametrize(
    "text", ["", "short", "x" * 64, base64.b64encode(bytes(KEY_BYTES - 1)).decode(), "ä" * 43]
)
def test_what_is_no_key_is_refused_and_not_repeated(text: str) -> None:
    """It may be one with a typing error."""
    with pytest.raises(MeshError) as caught:
        keys_from(text)
    assert "SETTINGS_INVALID" == caught.value.reason
    assert not text or text not in caught.value.message
