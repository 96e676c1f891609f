"""Who calls, by whatever header they say it."""

import hashlib

import pytest

from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.call import Principal
from meshgate_edge.http.authentication import Authenticator, key_hash

MASTER = "no-prefix-needed-for-a-master-key"
VIRTUAL = "sk-0123456789abcdefghijkl"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("authorization", "Bearer {}"),
        ("authorization", "bearer {}"),
        ("authorization", "Basic {}"),
        ("x-api-key", "{}"),
        ("api-key", "{}"),
        ("x-litellm-api-key", "{}"),
        ("x-litellm-api-key", "Bearer {}"),
        ("x-goog-api-key", "{}"),
    ],
)
def test_every_header_of_litellm_counts(name: str, value: str) -> None:
    """For the master key and for virtual ones."""
    authenticator = Authenticator(MASTER)

    assert Principal("master", key_hash(MASTER)) == authenticator.authenticate({name: value.format(MASTER)})
    assert Principal("virtual_key", key_hash(VIRTUAL)) == authenticator.authenticate(
        {name: value.format(VIRTUAL)}
    )


def test_a_key_is_known_by_its_sha256() -> None:
    """Lower-case hex of the whole key."""
    assert hashlib.sha256(VIRTUAL.encode()).hexdigest() == key_hash(VIRTUAL)


def test_a_master_key_of_any_letters_works() -> None:
    """Headers carry bytes; they come as Latin-1."""
    sent = "schlüssel-♥".encode().decode("latin-1")

    assert "master" == Authenticator("schlüssel-♥").authenticate({"x-api-key": sent}).kind


def test_without_a_master_key_everyone_may_call() -> None:
    """With any credential, malformed ones too, or none."""
    authenticator = Authenticator(None)

    for headers in ({}, {"authorization": "dummy"}, {"authorization": "Bearer sk-anything"}):
        assert Principal("open") == authenticator.authenticate(headers)
    assert Authenticator("").open


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "KEY_MISSING"),
        ({"authorization": ""}, "KEY_MISSING"),
        ({"authorization": MASTER}, "KEY_MALFORMED"),
        ({"authorization": "Bearer"}, "KEY_MALFORMED"),
        ({"authorization": "Bearer dummy"}, "KEY_MALFORMED"),
        ({"authorization": f"Digest {VIRTUAL}"}, "KEY_MALFORMED"),
        ({"x-api-key": f"x{MASTER}"}, "KEY_MALFORMED"),
    ],
)
def test_what_is_no_credential_is_refused(headers: dict[str, str], reason: str) -> None:
    """Without repeating what was sent."""
    with pytest.raises(MeshError) as caught:
        Authenticator(MASTER).authenticate(headers)

    assert (Code.UNAUTHENTICATED, reason) == (caught.value.code, caught.value.reason)
    assert MASTER not in str(caught.value)


def test_management_needs_the_master_key() -> None:
    """Or, without one, a listener that only this machine reaches."""
    assert "master" == Authenticator(MASTER).require_admin({"x-api-key": MASTER}).kind
    assert "open" == Authenticator(None, open_management=True).require_admin({}).kind
    for authenticator in (Authenticator(MASTER), Authenticator(None)):
        with pytest.raises(MeshError, match="Only proxy admin can be used to generate"):
            authenticator.require_admin({"x-api-key": VIRTUAL})
