"""Everything that `meshgate up` says, as text. Pure.

The reader is new here: what happened, then what to do about it.
"""

import json
import signal
from dataclasses import dataclass
from pathlib import Path

NAME_WIDTH = 14


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


def port_taken(host: str, port: int, reason: str) -> str:
    return (
        f"meshgate: cannot listen on {host}:{port}: {reason}.\n"
        f"  Choose another: make run PORT={port + 10}, or meshgate up --port {port + 10}"
    )


def already_running(folder: Path, process_id: int, address: str) -> str:
    return (
        f"meshgate: already running in {folder}: process {process_id}, {address or 'still starting'}.\n"
        f"  Stop it with Ctrl-C there, or: kill {process_id}\n"
        "  For a second mesh give it a folder and a port: meshgate up --state-dir OTHER --port PORT"
    )


def previous_run_does_not_end(folder: Path) -> str:
    return (
        f"meshgate: what an earlier run left in {folder} does not end.\n"
        f"  See who holds it: fuser -v {folder / 'lock'}"
    )
