"""`python -m bench run | compare BASE | profile`. See docs/performance.md."""

import argparse
import sys

from bench.compare import compare
from bench.profile import profile
from bench.run import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description="meshgate beside its peers")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, told in (("run", "all subjects"), ("compare", "two commits"), ("profile", "where CPU goes")):
        command = commands.add_parser(name, help=told)
        command.add_argument("--quick", action="store_true", help="one short round")
        if name == "compare":
            command.add_argument("base", help="the commit to compare with")
        if name == "run":
            command.add_argument("--only", nargs="*", default=[], help="subjects, by name")
    asked = parser.parse_args()
    if asked.command == "run":
        return run(quick=asked.quick, only=asked.only)
    if asked.command == "compare":
        return compare(asked.base, quick=asked.quick)
    return profile(quick=asked.quick)


if __name__ == "__main__":
    sys.exit(main())
