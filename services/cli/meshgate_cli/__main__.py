"""The command line: `meshgate up | check | doctor`, also as `python -m meshgate_cli`."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from meshgate_cli.settings import default_host, default_port, environment

STATE_FOLDER = Path(".meshgate")


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 well, 1 a problem that was told, 2 a wrong command line."""
    environ = environment()
    asked = _parser(environ).parse_args(arguments)
    # Each command loads its own parts: `check` need not wait for what `up` needs.
    if asked.command == "up":
        from meshgate_cli.mesh import UpOptions
        from meshgate_cli.up import up

        return up(UpOptions(asked.config, asked.host, asked.port, asked.llm, asked.state_dir), environ)
    if asked.command == "check":
        from meshgate_cli.check import check

        return check(asked.config, environ)
    from meshgate_cli.doctor import DoctorOptions, doctor

    return doctor(DoctorOptions(asked.config, asked.host, asked.port, asked.state_dir), environ)


def _parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="meshgate", description="An LLM gateway as a mesh of services.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="run the mesh on this machine until Ctrl-C")
    up.add_argument("--llm", choices=["local"], help="add a real small model that runs here")
    check = commands.add_parser("check", help="say what is wrong with a configuration")
    check.add_argument("config", type=Path, metavar="CONFIG")
    doctor = commands.add_parser("doctor", help="say what a start would use, and what is missing")
    for one in (up, doctor):
        one.add_argument(
            "--config",
            "-c",
            type=Path,
            metavar="FILE",
            help="default: ./config.yaml if it is there, else none",
        )
        one.add_argument("--port", type=_port, default=default_port(environ), help="default: %(default)s")
        one.add_argument("--host", default=default_host(environ), help="default: %(default)s")
        one.add_argument(
            "--state-dir",
            type=Path,
            default=STATE_FOLDER,
            metavar="FOLDER",
            help="keys, data, logs; default: %(default)s",
        )
    return parser


def _port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65_535:
        raise argparse.ArgumentTypeError(f"a port is 1 to 65535, not {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
