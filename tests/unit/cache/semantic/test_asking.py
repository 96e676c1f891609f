"""Questions that want the same kind of answer are told from those that do not, in whatever words."""

import pytest

from meshgate_cache.semantic.asking import alike, asked, excluded


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("how much does it cost?", "what is the price?"),
        ("how long does it last?", "what is the duration of it?"),
        ("when does it start?", "at what time does it start?"),
        ("how do i do it?", "what is the command for it?"),
        ("who wrote it?", "which author wrote it?"),
        ("my phone is slow, why?", "what is the cause of a slow phone?"),
        ("where can i find it?", "how can i find it?"),
        ("define it", "what is it?"),
    ],
)
def test_the_same_kind(one: str, other: str) -> None:
    """In both directions."""
    assert alike(asked(one), asked(other))
    assert alike(asked(other), asked(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("when does it start?", "where does it start?"),
        ("at what time does it start?", "on which date does it start?"),
        ("how much is it?", "how many are there?"),
        ("who broke it?", "when was it broken?"),
    ],
)
def test_kinds_that_exclude_each_other(one: str, other: str) -> None:
    """No wording makes one of the other."""
    assert excluded(asked(one), asked(other))
    assert not alike(asked(one), asked(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [("is it broken?", "why is it broken?"), ("where can i buy it?", "how can i buy it?")],
)
def test_kinds_that_differ(one: str, other: str) -> None:
    """Not the same; whether it matters is left to the wording."""
    assert not alike(asked(one), asked(other))
    assert not excluded(asked(one), asked(other))
