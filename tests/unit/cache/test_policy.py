"""Only whole answers are kept, for no longer than asked."""

import pytest

from meshgate_cache import policy
from meshgate_cache.convert import says_nothing
from meshgate_cache.policy import Refusal
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb


@pytest.mark.parametrize("reason", ["stop", "tool_calls", "function_call"])
def test_a_whole_answer_may_be_kept(reason: str) -> None:
    """All its choices ended by themselves."""
    assert policy.refusal([reason, "stop"], empty=False, size_bytes=9, size_bytes_max=9) is None


@pytest.mark.parametrize("reason", ["length", "content_filter", "error", "", "STOP"])
def test_an_answer_that_was_cut_is_refused(reason: str) -> None:
    """One such choice is enough, wherever it is."""
    for reasons in ([reason], ["stop", reason], [reason, "stop"]):
        assert Refusal.FINISH_REASON == policy.refusal(reasons, empty=False, size_bytes=1, size_bytes_max=9)


def test_an_answer_that_says_nothing_is_refused() -> None:
    """No choices, or a choice without content."""
    assert Refusal.EMPTY == policy.refusal([], empty=False, size_bytes=1, size_bytes_max=9)
    assert Refusal.EMPTY == policy.refusal(["stop"], empty=True, size_bytes=1, size_bytes_max=9)


def test_an_answer_above_the_limit_is_refused() -> None:
    """By one byte."""
    assert Refusal.TOO_LARGE == policy.refusal(["stop"], empty=False, size_bytes=10, size_bytes_max=9)


@pytest.mark.parametrize(
    ("requested", "configured", "backend", "expected"),
    [
        (5.0, 7.0, "redis", 5.0),
        (None, 7.0, "redis", 7.0),
        (None, None, "redis", 60.0),
        (None, None, "memory", 600.0),
        (1e9, None, "redis", 2_592_000.0),
        (None, 1e9, "redis", 2_592_000.0),
    ],
)
def test_the_nearest_wish_decides_how_long(
    requested: float | None, configured: float | None, backend: str, expected: float
) -> None:
    """Request, configuration, default; never above 30 days."""
    assert expected == policy.ttl_s(requested, configured, backend)


@pytest.mark.parametrize(
    ("age_s", "max_age_s", "expected"),
    [(10, None, True), (10, 10, False), (10, 10.5, True), (0, 0, False), (-3, 1, True)],
)
def test_fresh_is_younger_than(age_s: float, max_age_s: float | None, expected: bool) -> None:
    """The limit itself is too old; a clock that is behind makes an answer young."""
    now_ns = 1_700_000_000 * 10**9

    assert expected == policy.is_fresh(now_ns - int(age_s * 1e9), now_ns, max_age_s)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (chat_pb.Message(text="x"), False),
        (chat_pb.Message(text=""), True),
        (chat_pb.Message(role="assistant", reasoning_content="only thoughts"), True),
        (chat_pb.Message(tool_calls=[chat_pb.ToolCall(id="1")]), False),
        (chat_pb.Message(refusal="no"), False),
        (chat_pb.Message(extra_json=b'{"content":null,"annotations":[]}'), True),
        (chat_pb.Message(extra_json=b'{"content":null,"function_call":{"name":"f"}}'), False),
    ],
)
def test_an_empty_message_is_recognised(message: chat_pb.Message, expected: bool) -> None:
    """Text, calls, a refusal or any other member with a value say something."""
    good = chat_pb.Choice(message=chat_pb.Message(text="x"))

    assert expected == says_nothing([good, chat_pb.Choice(message=message)])
