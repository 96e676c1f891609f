"""`python -m bench run | compare BASE [--env NAME=VALUE] | profile`. See docs/performance.md."""

import argparse
import signal
import sys

from bench.compare import compare
from bench.profile import profile
from bench.run import run
from bench.sizes import SIZES, Sizing, sizes
from bench.soak import soak
from bench.streams import STREAMS, Streaming, streams

ENDED = 128 + signal.SIGTERM


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description="meshgate beside its peers")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, told in (("run", "all subjects"), ("compare", "two commits"), ("profile", "where CPU goes")):
        command = commands.add_parser(name, help=told)
        command.add_argument("--quick", action="store_true", help="one short round")
        if name == "compare":
            command.add_argument("base", help='the commit to compare with; ".": this tree')
            command.add_argument(
                "--env",
                nargs="*",
                type=_variable,
                default=[],
                help="NAME=VALUE for the base alone",
            )
        if name == "run":
            command.add_argument("--only", nargs="*", default=[], help="subjects, by name, and tracing")
    soaking = commands.add_parser("soak", help="mixed requests for long: memory and books")
    soaking.add_argument("--quick", action="store_true", help="about two minutes")
    soaking.add_argument("--requests", type=int, default=0, help="default: 100,000")
    streaming = commands.add_parser("streams", help="hundreds of paced streams for minutes")
    streaming.add_argument("--quick", action="store_true", help="one minute")
    streaming.add_argument("--streams", type=int, default=STREAMS)
    streaming.add_argument("--minutes", type=float, default=0.0, help="default: 5")
    streaming.add_argument("--gap-ms", type=float, default=0.0, help="between chunks; default: found")
    sizing = commands.add_parser("sizes", help="cost by number of keys, cache entries, ledger entries")
    sizing.add_argument("--quick", action="store_true", help="the smallest and 100,000, one round")
    sizing.add_argument("--only", nargs="*", choices=tuple(SIZES), default=tuple(SIZES), help="which of them")
    sizing.add_argument("--most", type=int, default=0, help="no size above this; default: ten million")
    sizing.add_argument("--rounds", type=int, default=0, help="default: 3")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ENDED))  # so that what was started is ended, too
    if asked.command == "run":
        return run(quick=asked.quick, only=asked.only)
    if asked.command == "compare":
        return compare(asked.base, dict(asked.env), quick=asked.quick)
    if asked.command == "sizes":
        return sizes(Sizing(asked.only, asked.most, asked.rounds), quick=asked.quick)
    if asked.command == "streams":
        asking = Streaming(asked.streams, asked.minutes * 60, int(asked.gap_ms * 1e3))
        return streams(asking, quick=asked.quick)
    if asked.command == "soak":
        return soak(requests=asked.requests, quick=asked.quick)
    return profile(quick=asked.quick)


def _variable(told: str) -> tuple[str, str]:
    name, given, value = told.partition("=")
    if not (name and given):
        raise argparse.ArgumentTypeError(f"{told!r} is not NAME=VALUE")
    return name, value


if __name__ == "__main__":
    sys.exit(main())
