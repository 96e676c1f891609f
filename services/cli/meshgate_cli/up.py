"""`meshgate up`: the composition root of the supervisor."""

import asyncio
from collections.abc import Mapping

from meshgate_chassis.config import ConfigError
from meshgate_cli import messages
from meshgate_cli.console import say
from meshgate_cli.guardian import Guardian
from meshgate_cli.keeper_guardian import NAME as POSTGRES
from meshgate_cli.keeper_guardian import KeeperGuardian, Lifeline
from meshgate_cli.log_files import LogFile
from meshgate_cli.mesh import Mesh, UpError, UpOptions, decide, given_config
from meshgate_cli.notices import notices
from meshgate_cli.plan import plan_processes, shared_environment
from meshgate_cli.state_folder import StateFolder
from meshgate_cli.state_lock import FolderBusyError, PreviousRunEndingError, StateLock
from meshgate_cli.supervisor import Supervisor

PREVIOUS_RUN_TIMEOUT_S = 60.0
EXIT_PROBLEM = 1


def up(options: UpOptions, environ: Mapping[str, str]) -> int:
    """Runs the mesh until a signal; returns the exit code."""
    state = StateFolder(options.state_folder.absolute())
    lock = StateLock(state.lock_file)
    try:
        state.prepare()
        _take(lock, state)
        lock.describe("")
        state.processes_file.unlink(missing_ok=True)  # of a run that was killed
        mesh = decide(options, environ, state)
        for line in notices(mesh, environ):
            say(line)
        lock.describe(mesh.addresses.url)
        return asyncio.run(_run(mesh, state, lock))
    except UpError as error:
        say(str(error))
    except ConfigError as error:
        say(messages.configuration_errors(given_config(options.config), str(error)))
    except OSError as error:
        say(f"meshgate: {error}")
    finally:
        lock.release()
    return EXIT_PROBLEM


def _take(lock: StateLock, state: StateFolder) -> None:
    try:
        try:
            lock.take()
        except PreviousRunEndingError:
            say("meshgate: waiting for an earlier run to end")
            lock.take_within(PREVIOUS_RUN_TIMEOUT_S)
    except FolderBusyError as error:
        raise UpError(messages.already_running(state.root, error.process_id, error.address)) from None
    except PreviousRunEndingError:
        raise UpError(messages.previous_run_does_not_end(state.root)) from None


async def _run(mesh: Mesh, state: StateFolder, lock: StateLock) -> int:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    lifeline = Lifeline()
    shared = {
        "MESHGATE_EDGE_SPOOL_DIR": str(state.spool),
        **shared_environment(mesh.environment, mesh.config_file, state.mesh_secret_file),
    }
    keeper = KeeperGuardian(
        mesh.addresses.sockets,
        state.postgres_home if mesh.embedded else None,
        lifeline,
        lock.descriptor,
        _log(state, POSTGRES),
    )
    guardians: dict[str, Guardian] = {}
    supervisor = Supervisor(
        keeper,
        guardians,
        state.processes_file,
        say,
        lambda: say(messages.welcome(_welcome(mesh, state, loop.time() - began_s))),
    )
    for spec in plan_processes(mesh.addresses, shared):
        log = _log(state, spec.name)
        guardians[spec.name] = Guardian(spec, log, lifeline.held, say, supervisor.write_processes)
    say(f"meshgate: starting {len(guardians)} processes")
    return await supervisor.run()


def _log(state: StateFolder, name: str) -> LogFile:
    log = LogFile(state.logs / f"{name}.log")
    log.begin()
    return log


def _welcome(mesh: Mesh, state: StateFolder, started_s: float) -> messages.Welcome:
    return messages.Welcome(
        url=mesh.addresses.url,
        grpc_address=mesh.addresses.edge_grpc,
        key=mesh.shown_key,
        key_source=mesh.key_source,
        models=mesh.models,
        database=mesh.database,
        logs=state.logs,
        started_s=started_s,
    )
