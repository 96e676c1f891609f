"""Which database the ledger's commands work on: the one that `meshgate up` would use here."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from meshgate_chassis.config import load_config
from meshgate_cli.embedded_postgres import EmbeddedPostgres
from meshgate_cli.mesh import UpError, given_config
from meshgate_cli.reach import AddressError, postgres_at
from meshgate_cli.state_folder import StateFolder
from meshgate_ledger.settings import plain_dsn


@dataclass(frozen=True, slots=True)
class DatabaseOptions:
    """`url`: as named on the command line; None: as a start would find it."""

    url: str | None
    config: Path | None
    state_folder: Path


@contextmanager
def ledger_dsn(options: DatabaseOptions, environ: Mapping[str, str]) -> Iterator[str]:
    """The DSN: named, else DATABASE_URL, else the configuration's, else the embedded PostgreSQL, which is
    started for as long as it is needed when nobody runs it.

    Raises UpError when there is none, EmbeddedPostgresError, and the configuration's own errors.
    """
    url = options.url or environ.get("DATABASE_URL") or _configured(options.config, environ)
    if url:
        try:
            postgres_at(url, "the database's URL")
        except AddressError as error:
            raise UpError(f"meshgate: {error}") from None
        yield plain_dsn(url)
        return
    home = StateFolder(options.state_folder.absolute()).postgres_home
    embedded = EmbeddedPostgres(home)
    if not embedded.home.exists():
        raise UpError("meshgate: there is no database: name one with --database-url")
    running = embedded.running_dsn()
    if running is not None:
        yield running
        return
    try:
        yield embedded.start()
    finally:
        embedded.stop()


def _configured(config: Path | None, environ: Mapping[str, str]) -> str | None:
    path = given_config(config)
    url = None if path is None else load_config(path, environ).database_url
    return None if url is None else url.value
