"""The state folder: its secrets, its lock, its sockets, its logs."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from meshgate_cli import log_files
from meshgate_cli.log_files import LogFile
from meshgate_cli.state_folder import StateFolder
from meshgate_cli.state_lock import FolderBusyError, PreviousRunEndingError, StateLock


def test_the_master_key_is_kept_and_private(tmp_path: Path) -> None:
    """The second start has the same key; nobody else can read it."""
    state = StateFolder(tmp_path / "state")
    state.prepare()
    key = state.master_key()
    state.prepare()

    assert state.master_key() == key
    assert key.startswith("sk-")
    assert len(key) > 30
    assert stat.S_IMODE(state.master_key_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.mesh_secret_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.root.stat().st_mode) & 0o066 == 0


def test_sockets_fit_even_in_a_deep_folder(tmp_path: Path) -> None:
    """A path that is too long for a socket is replaced by a temporary folder; stale sockets are removed."""
    near = StateFolder(tmp_path / "s")
    near.prepare()
    (near.root / "run").mkdir()
    (near.root / "run" / "stale.sock").touch()
    deep = StateFolder(tmp_path / ("d" * 100))
    deep.prepare()

    sockets = deep.make_socket_folder()

    assert list(near.make_socket_folder().iterdir()) == []
    assert len(str(sockets / "compression.sock")) < 100
    sockets.rmdir()


def test_a_second_mesh_is_told_who_runs(tmp_path: Path) -> None:
    """The lock says process and address."""
    first, second = StateLock(tmp_path / "lock"), StateLock(tmp_path / "lock")
    first.take()
    first.describe("http://127.0.0.1:4000")

    with pytest.raises(FolderBusyError) as busy:
        second.take()
    first.release()
    second.take()
    second.release()

    assert (busy.value.process_id, busy.value.address) == (os.getpid(), "http://127.0.0.1:4000")


def test_a_run_that_is_ending_is_waited_for(tmp_path: Path) -> None:
    """Its supervisor is gone, a process that inherited the lock is not: wait, then take it."""
    path = tmp_path / "lock"
    first, second = StateLock(path), StateLock(path)
    first.take()
    script = "import sys; print('holding', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=(first.descriptor,),
    ) as heir:
        assert heir.stdin is not None
        assert heir.stdout is not None
        heir.stdout.readline()
        path.write_text('{"process_id": 4194304999, "address": ""}'.replace("4194304999", str(2**22)))
        first.release()
        with pytest.raises(PreviousRunEndingError):
            second.take()
        heir.stdin.close()
        second.take_within(20.0)
    second.release()


def test_a_log_is_new_at_every_start(tmp_path: Path) -> None:
    """The earlier one is kept once."""
    log = LogFile(tmp_path / "edge.log")
    for number in range(3):
        log.begin()
        with log.open() as file:
            file.write(f"run {number}\n".encode())

    assert log.path.read_text() == "run 2\n"
    assert (tmp_path / "edge.log.1").read_text() == "run 1\n"
    assert log.tail() == "run 2"


def test_errors_in_a_log_are_shown_once_and_few(tmp_path: Path) -> None:
    """Both formats; a flood of errors stays in the file."""
    log = LogFile(tmp_path / "edge.log")
    log.begin()
    with log.open() as file:
        file.write(b"t [info     ] fine\nt [error    ] broken\n" + b'{"level": "error"}\n' * 50)
    shown = log.new_errors()

    assert shown[0] == "t [error    ] broken"
    assert len(shown) == log_files.ERRORS_SHOWN_MAX
    assert log.new_errors() == []


def test_a_log_stays_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its writer goes on in the same file after it was emptied."""
    monkeypatch.setattr(log_files, "LOG_BYTES_MAX", 1_000)
    log = LogFile(tmp_path / "edge.log")
    log.begin()
    with log.open() as writer:
        writer.write(b"x" * 1_001)
        writer.flush()
        log.new_errors()
        writer.write(b"after\n")

    assert log.path.read_bytes() == b"after\n"
