"""Keeps PostgreSQL and the socket folder for as long as anybody of the mesh lives; then cleans up.

    python -P -m meshgate_cli.keeper SOCKET_FOLDER [POSTGRES_HOME]

Standard input is the mesh's lifeline: a pipe whose other end the supervisor and all services hold. When
the last of them has ended, however, the pipe ends; only then PostgreSQL is stopped. So the database
outlives every service that settles, and nothing is left behind even when the supervisor is killed.

Writes one line of JSON to standard output: {"dsn": ..., "process_id": ...} when ready (both null without a
PostgreSQL), or {"error": ...}. When it ends for another reason, the sockets stay: their services live.
"""

import json
import os
import select
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType

from meshgate_cli.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError

LIFELINE = 0  # standard input
CHECK_INTERVAL_S = 0.5


def main(arguments: list[str]) -> int:
    socket_folder = Path(arguments[0])
    postgres = EmbeddedPostgres(Path(arguments[1])) if len(arguments) > 1 else None
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _exit)
    try:
        all_ended = _keep(postgres)
    finally:
        if postgres is not None:
            postgres.stop()
    if not all_ended:
        return 1
    shutil.rmtree(socket_folder, ignore_errors=True)
    return 0


def _keep(postgres: EmbeddedPostgres | None) -> bool:
    """True when everybody has ended; False when PostgreSQL did not start, or ended by itself."""
    try:
        dsn = postgres.start() if postgres is not None else None
    except EmbeddedPostgresError as error:
        _say({"error": str(error)})
        return False
    _say({"dsn": dsn, "process_id": postgres.process_id if postgres is not None else None})
    while True:
        ended, _, _ = select.select([LIFELINE], [], [], CHECK_INTERVAL_S)
        if ended:  # nobody ever writes: readable means that the other end is closed
            return True
        if postgres is not None and _has_ended(postgres.process_id):
            sys.stderr.write("PostgreSQL has ended by itself\n")
            return False


def _has_ended(process_id: int) -> bool:
    """Looks without taking the exit status away from its owner; not everywhere possible (macOS)."""
    if not hasattr(os, "waitid"):
        return False
    return os.waitid(os.P_PID, process_id, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _say(message: dict[str, str | int | None]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _exit(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
