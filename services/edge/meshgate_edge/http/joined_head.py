"""A connection's transport that sends the head of an answer together with the beginning of its body.

uvicorn writes them one after the other, and each write is a system call and a packet that wakes the client.
Invariant: a head without a body leaves when the event loop's turn ends; the order of what is written stays.
"""

import asyncio
from collections.abc import Callable
from typing import Any


class JoinedHead(asyncio.Transport):
    """`begins`: whether what is written now is a head; asked before each write."""

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, begins: Callable[[], bool]
    ) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._begins = begins
        self._head: bytes | bytearray | memoryview = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """As the transport's, but for a head."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.writelines((head, data) if data else (head,))
        elif self._begins():
            self._head = data
            self._loop.call_soon(self._flush)
        else:
            self._transport.write(data)

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

    def write_eof(self) -> None:
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        self._head = b""
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._transport.set_protocol(protocol)
