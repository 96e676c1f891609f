"""The folder that a mesh on one machine lives in: keys, data, logs, sockets.

Invariants: secrets are readable by their owner only, from their first byte on; a secret that exists is
never replaced.
"""

import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

SOCKET_PATH_BYTES_MAX = 100  # Linux allows 107, macOS 103
SOCKET_NAME_LONGEST = "compression.sock"
KEY_BYTES = 24


@dataclass(frozen=True, slots=True)
class StateFolder:
    """Paths below `root`, which is absolute."""

    root: Path

    @property
    def lock_file(self) -> Path:
        return self.root / "lock"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def config_file(self) -> Path:
        """The configuration that is written when there is none."""
        return self.root / "config.yaml"

    @property
    def processes_file(self) -> Path:
        """What runs: name -> process id, for people and tests."""
        return self.root / "processes.json"

    @property
    def postgres_home(self) -> Path:
        return self.root / "postgres"

    @property
    def spool(self) -> Path:
        """Calls that the ledger could not be told of, until it can."""
        return self.root / "spool"

    @property
    def master_key_file(self) -> Path:
        return self.root / "master-key"

    @property
    def mesh_secret_file(self) -> Path:
        return self.root / "mesh-secret"

    def prepare(self) -> None:
        """Makes what is missing. As root others may pass through, for PostgreSQL runs as another user."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o711 if os.geteuid() == 0 else 0o700)
        self.logs.mkdir(exist_ok=True, mode=0o700)
        secret_in(self.mesh_secret_file, "")

    def master_key(self) -> str:
        """The key of this mesh, made at the first start."""
        return secret_in(self.master_key_file, "sk-")

    def make_socket_folder(self) -> Path:
        """An empty folder for sockets: ours, or a temporary one when the path is too long for a socket."""
        folder = self.root / "run"
        if len(os.fsencode(folder / SOCKET_NAME_LONGEST)) > SOCKET_PATH_BYTES_MAX:
            return Path(tempfile.mkdtemp(prefix="meshgate-run-"))
        folder.mkdir(exist_ok=True, mode=0o700)
        for stale in folder.iterdir():
            stale.unlink()
        return folder


def secret_in(path: Path, prefix: str) -> str:
    """The secret in the file; a new one is made when there is no file."""
    if not path.exists():
        unfinished = path.with_name(f"{path.name}.{os.getpid()}")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(prefix + secrets.token_urlsafe(KEY_BYTES) + "\n")
        unfinished.rename(path)
    return path.read_text().strip()
