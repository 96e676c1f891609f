"""Requests as bytes. Each has a prompt of its own, unless it is meant to be a cache hit."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

MARK_DIGITS = 12
EMBEDDINGS = "/v1/embeddings"
_MARK = "#" * MARK_DIGITS
KEY_MARK = "@" * MARK_DIGITS  # in Target.key: the number of a key
KEY_STRIDE = 7_919  # a prime: one request after the other has another key, far away
_WORDS = "The quick brown fox jumps over the lazy dog while seven wizards brew tea. "


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go. `key`: a bearer token, or empty. `path`: of the chat endpoint.

    `keys`: how many keys there are; more than 0: `key` has KEY_MARK, and requests take turns with them all.
    """

    port: int
    path: str = "/v1/chat/completions"
    model: str = "bench"
    key: str = ""
    keys: int = 0


def prompt(size_bytes: int) -> str:
    """Words, about `size_bytes` of them, that begin with the mark."""
    return f"Request {_MARK}. " + (_WORDS * (size_bytes // len(_WORDS) + 1))[:size_bytes]


def _head(target: Target, body_bytes: int) -> bytes:
    authorization = f"authorization: Bearer {target.key}\r\n" if target.key else ""
    return (
        f"POST {target.path} HTTP/1.1\r\nhost: 127.0.0.1:{target.port}\r\naccept: application/json\r\n"
        f"user-agent: OpenAI/Python 2.0\r\ncontent-type: application/json\r\n{authorization}"
        f"content-length: {body_bytes}\r\n\r\n"
    ).encode()


def requests(
    target: Target,
    *,
    prompt_bytes: int = 1_000,
    stream: bool = False,
    first: int = 0,
    same: bool = False,
    cached: bool = True,
) -> Iterator[bytes]:
    """Whole HTTP requests without end, each with a number in its prompt; `same`: all with `first`.

    `cached` False: they ask that the cache be neither read nor written.
    """
    message = {"role": "user", "content": prompt(prompt_bytes)}
    fields: dict[str, object] = {"model": target.model, "messages": [message], "max_tokens": 200}
    if target.path == EMBEDDINGS:
        fields = {"model": target.model, "input": message["content"]}
    if stream:
        fields["stream"] = True
    if not cached:
        fields["cache"] = {"no-cache": True, "no-store": True}
    body = json.dumps(fields, separators=(",", ":")).encode()
    head = _head(target, len(body))
    before, after = body.split(_MARK.encode())
    number = first
    while True:
        key = b"%0*d" % (MARK_DIGITS, number * KEY_STRIDE % target.keys) if target.keys else b""
        mine = head.replace(KEY_MARK.encode(), key) if key else head
        yield mine + before + b"%0*d" % (MARK_DIGITS, number) + after
        number += 0 if same else 1
