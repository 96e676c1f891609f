"""What a person should hear before a start, once and in one place: each service has it in its log as well."""

from collections.abc import Iterator, Mapping

from meshgate_cli import messages
from meshgate_cli.mesh import Mesh, UpError
from meshgate_cli.reach import AddressError, Store, database_of, problem_reaching, redis_of


def notices(mesh: Mesh, environ: Mapping[str, str]) -> Iterator[str]:
    """Warnings of the configuration, and stores that do not answer: they may come later, and stop nothing.

    Raises UpError for an address that cannot be meant.
    """
    if mesh.config.warnings:
        yield messages.configuration_warnings(mesh.config_file, len(mesh.config.warnings))
    try:
        database = database_of(mesh.config, environ)
        redis = redis_of(mesh.config, environ)
    except AddressError as error:
        raise UpError(f"meshgate: {error}") from None
    yield from _away("PostgreSQL", database, "the ledger waits for it")
    yield from _away("Redis", redis, "calls go on without it, and nothing is found in the cache")


def _away(kind: str, store: Store | None, meanwhile: str) -> Iterator[str]:
    if store is not None and (reason := problem_reaching(store)):
        yield messages.store_away(kind, store, reason, meanwhile)
