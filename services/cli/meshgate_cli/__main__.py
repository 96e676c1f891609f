"""The command line: `meshgate up | check | doctor | ledger | import`, also as `python -m meshgate_cli`."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from meshgate_cli.settings import default_host, default_port, environment

STATE_FOLDER = Path(".meshgate")
EXIT_USAGE, EXIT_INTERRUPTED = 2, 130


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 well, 1 a problem that was told, 2 a wrong command line, 130 Ctrl-C."""
    environ = environment()
    parser = _parser(environ)
    asked = parser.parse_args(arguments)
    if asked.command is None:
        parser.print_help()
        return EXIT_USAGE
    try:
        return _run(asked, environ)
    except KeyboardInterrupt:  # before anything runs; what runs ends in its own order
        return EXIT_INTERRUPTED


def _run(asked: argparse.Namespace, environ: Mapping[str, str]) -> int:
    # Each command loads its own parts: `check` need not wait for what `up` needs.
    if asked.command == "up":
        from meshgate_cli.mesh import UpOptions
        from meshgate_cli.up import up

        return up(UpOptions(asked.config, asked.host, asked.port, asked.llm, asked.state_dir), environ)
    if asked.command == "check":
        from meshgate_cli.check import check

        return check(asked.config, environ)
    if asked.command in ("ledger", "import"):
        return _with_database(asked, environ)
    from meshgate_cli.doctor import DoctorOptions, doctor

    return doctor(DoctorOptions(asked.config, asked.host, asked.port, asked.state_dir), environ)


def _with_database(asked: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from meshgate_cli.ledger_database import DatabaseOptions

    if asked.command == "ledger":
        from meshgate_cli.ledger_verify import ledger_verify

        return ledger_verify(DatabaseOptions(asked.database_url, asked.config, asked.state_dir), environ)
    from meshgate_cli.import_litellm import ImportOptions, import_litellm

    into = DatabaseOptions(asked.into, asked.config, asked.state_dir)
    return import_litellm(ImportOptions(asked.database_url, into, asked.dry_run), environ)


def _parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="meshgate", description="An LLM gateway as a mesh of services.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    up = commands.add_parser("up", help="run the mesh on this machine until Ctrl-C")
    up.add_argument("--llm", choices=["local"], help="add a real small model that runs here")
    check = commands.add_parser("check", help="say what is wrong with a configuration")
    check.add_argument("config", type=Path, metavar="CONFIG")
    doctor = commands.add_parser("doctor", help="say what a start would use, and what is missing")
    ledger = commands.add_parser("ledger", help="look after the books")
    verify = ledger.add_subparsers(dest="task", required=True, metavar="TASK").add_parser(
        "verify", help="prove that the books balance; exit code 1 when they do not"
    )
    verify.add_argument("--database-url", metavar="URL", help="default: what a start would use")
    sources = commands.add_parser("import", help="bring keys, users, teams, budgets and spend from elsewhere")
    litellm = sources.add_subparsers(dest="source", required=True, metavar="SOURCE").add_parser(
        "litellm", help="from LiteLLM's database; may be repeated"
    )
    litellm.add_argument("--database-url", metavar="URL", required=True, help="LiteLLM's database")
    litellm.add_argument("--into", metavar="URL", help="ours; default: what a start would use")
    litellm.add_argument("--dry-run", action="store_true", help="only say what would be brought")
    for one in (up, doctor, verify, litellm):
        one.add_argument(
            "--config",
            "-c",
            type=Path,
            metavar="FILE",
            help="default: ./config.yaml if it is there, else none",
        )
        one.add_argument(
            "--state-dir",
            type=Path,
            default=STATE_FOLDER,
            metavar="FOLDER",
            help="keys, data, logs; default: %(default)s",
        )
    for one in (up, doctor):
        one.add_argument("--port", type=_port, default=default_port(environ), help="default: %(default)s")
        one.add_argument("--host", default=default_host(environ), help="default: %(default)s")
    return parser


def _port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65_535:
        raise argparse.ArgumentTypeError(f"a port is 1 to 65535, not {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
