"""Everything that `meshgate up` says, as text. Pure.

The reader is new here: what happened, then what to do about it.
"""

import json
import signal
from dataclasses import dataclass
from pathlib import Path

from meshgate_cli.ports import PortProblem, another_port
from meshgate_cli.reach import Store

NAME_WIDTH = 14
PROGRAM = ".venv/bin/meshgate"  # where `make` installs it


@dataclass(frozen=True, slots=True)
class Welcome:
    """What is told when all is ready. `key`: as the curl line needs it; `key_source`: where it is from."""

    url: str
    grpc_address: str
    key: str
    key_source: str
    models: tuple[str, ...]
    database: str
    logs: Path
    started_s: float


def ready_line(name: str, elapsed_s: float, note: str = "") -> str:
    return f"  {name:<{NAME_WIDTH}}ready after {elapsed_s:4.1f} s{f'   {note}' if note else ''}"


def welcome(facts: Welcome) -> str:
    """Address, key, a line to try, and how to stop."""
    model = facts.models[0] if facts.models else "MODEL"
    body = {"model": model, "messages": [{"role": "user", "content": "What is the capital of France?"}]}
    return (
        f"\nmeshgate is ready after {facts.started_s:.1f} s.\n\n"
        f"  address      {facts.url}  (gRPC: {facts.grpc_address})\n"
        f"  master key   {facts.key}  ({facts.key_source})\n"
        f"  models       {', '.join(facts.models) or 'none'}\n"
        f"  database     {facts.database}\n"
        f"  logs         {facts.logs}\n\n"
        "Try it:\n\n"
        f"  curl {facts.url}/v1/chat/completions \\\n"
        f'    -H "Authorization: Bearer {facts.key}" -H "Content-Type: application/json" \\\n'
        f"    -d '{json.dumps(body)}'\n\n"
        "Ctrl-C stops it.\n"
    )


def how_it_ended(return_code: int) -> str:
    """ "exit code 2" or "killed by SIGKILL"."""
    if return_code >= 0:
        return f"exit code {return_code}"
    try:
        return f"killed by {signal.Signals(-return_code).name}"
    except ValueError:
        return f"killed by signal {-return_code}"


def restarting(name: str, return_code: int, backoff_s: float) -> str:
    return f"  {name} ended ({how_it_ended(return_code)}); starting it again in {backoff_s:.1f} s"


def start_failed(name: str, reason: str, log: Path, tail: str) -> str:
    quoted = "".join(f"    {line}\n" for line in tail.splitlines())
    return f"meshgate: {name} did not start: {reason}.\n{quoted}  log: {log}"


def port_taken(host: str, port: int, problem: PortProblem) -> str:
    said = f"meshgate: cannot listen on {host}:{port}: {problem.reason}.\n"
    if not problem.of_port:
        return said + "  Choose an address of this machine: make run HOST=127.0.0.1, or --host 127.0.0.1"
    other = another_port(port)
    return said + f"  Choose another: make run PORT={other}, or {PROGRAM} up --port {other}"


def configuration_errors(file: Path | None, text: str) -> str:
    said = f"meshgate: the configuration has errors.\n{text}"
    return said if file is None else f"{said}\n  With warnings and hints: {PROGRAM} check {file}"


def configuration_warnings(file: Path, count: int) -> str:
    noun = "warning" if count == 1 else "warnings"
    return f"meshgate: {file}: {count} {noun}; {PROGRAM} check {file}"


def store_away(kind: str, store: Store, reason: str, meanwhile: str) -> str:
    return f"meshgate: {kind} at {store} does not answer ({reason}): {meanwhile}"


def already_running(folder: Path, process_id: int, address: str) -> str:
    return (
        f"meshgate: already running in {folder}: process {process_id}, {address or 'still starting'}.\n"
        f"  Stop it with Ctrl-C there, or: kill {process_id}\n"
        "  For a second mesh give it a folder and a port: "
        f"{PROGRAM} up --state-dir .meshgate-2 --port PORT"
    )


def previous_run_does_not_end(folder: Path) -> str:
    return (
        f"meshgate: what an earlier run left in {folder} does not end.\n"
        f"  See who holds it: fuser -v {folder / 'lock'}"
    )
