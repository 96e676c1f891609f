"""A file of records that survives whatever happens to its writer.

A record: marker, kind, length, CRC-32, payload. A record that was torn by a crash, or damaged since, is left
out and the ones after it are found by their marker. Who writes a file holds its lock, so whose lock can be
had is dead, and the file is anybody's.
"""

import contextlib
import fcntl
import os
import struct
import uuid
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final, Self

SUFFIX: Final = ".spool"
_MARKER: Final = b"mgSP"
_HEADER: Final = struct.Struct("<4sBII")


class Kind(IntEnum):
    """INTENT: a call that was let through without a hold. CLOSING: how a call ended, to be posted."""

    INTENT = 1
    CLOSING = 2


@dataclass(frozen=True, slots=True)
class Record:
    """`payload`: a serialised CloseSpend."""

    kind: Kind
    payload: bytes


def framed(record: Record) -> bytes:
    """The record as it stands in a file."""
    return _HEADER.pack(_MARKER, record.kind, len(record.payload), _checksum(record)) + record.payload


def records_in(data: bytes) -> tuple[list[Record], int]:
    """All whole records, in order, and how many bytes belong to none."""
    found: list[Record] = []
    at = lost = 0
    while at < len(data):
        record = _record_at(data, at)
        if record is not None:
            found.append(record)
            at += _HEADER.size + len(record.payload)
            continue
        following = data.find(_MARKER, at + 1)
        following = len(data) if following < 0 else following
        lost += following - at
        at = following
    return found, lost


def _record_at(data: bytes, at: int) -> Record | None:
    if len(data) - at < _HEADER.size:
        return None
    marker, kind, size, checksum = _HEADER.unpack_from(data, at)
    payload = data[at + _HEADER.size : at + _HEADER.size + size]
    if marker != _MARKER or kind not in tuple(Kind) or len(payload) != size:
        return None
    record = Record(Kind(kind), payload)
    return record if _checksum(record) == checksum else None


def _checksum(record: Record) -> int:
    return zlib.crc32(record.payload, record.kind)


class SpoolFile:
    """An open file and its lock. Every method blocks, and raises OSError."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size

    @classmethod
    def create(cls, folder: Path) -> Self:
        """A new one of our own."""
        path = folder / f"{uuid.uuid4().hex}{SUFFIX}"
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _sync_folder(folder)
        return cls(path, descriptor)

    @classmethod
    def adopt(cls, path: Path) -> Self | None:
        """One that its writer left; None when somebody has it, or had it a moment ago."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:  # noqa: PTH116 - beside fstat
                return cls(path, descriptor)
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(descriptor)
        return None

    def append(self, data: bytes) -> None:
        """Returns when the data is on the disk. After an error nothing of it is in the file."""
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]
            os.fsync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)

    def read(self) -> bytes:
        """Everything."""
        return os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)

    def clear(self) -> None:
        """Nothing in it is needed any more."""
        os.ftruncate(self._descriptor, 0)
        self._size = 0

    def remove(self) -> None:
        """The file is gone, and with it the lock."""
        self.path.unlink(missing_ok=True)
        _sync_folder(self.path.parent)
        self.close()

    def close(self) -> None:
        """The file stays, for whoever comes next."""
        os.close(self._descriptor)


def orphans(folder: Path, own: Path) -> Sequence[Path]:
    """Files that may be anybody's, the oldest first."""
    found = []
    for path in folder.glob(f"*{SUFFIX}"):
        if path != own:
            with contextlib.suppress(FileNotFoundError):  # a sibling ended a moment ago
                found.append((path.stat().st_mtime_ns, path.name, path))
    return [path for _, _, path in sorted(found)]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
