"""`meshgate check CONFIG`: every problem of a configuration, with line and suggestion."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from meshgate_chassis.config import check_config
from meshgate_chassis.config.model import ConfigProblem

EXIT_ERRORS = 1


def check(path: Path, environ: Mapping[str, str]) -> int:
    """Prints the problems; 1 when one of them stops a start."""
    if not path.is_file():
        sys.stderr.write(f"meshgate: there is no configuration {path}\n")
        return EXIT_ERRORS
    problems = check_config(path, environ)
    sys.stdout.write(report(path, problems))
    return EXIT_ERRORS if errors_in(problems) else 0


def errors_in(problems: Sequence[ConfigProblem]) -> int:
    """How many of them stop a start."""
    return sum(problem.severity == "error" for problem in problems)


def report(path: Path, problems: Sequence[ConfigProblem]) -> str:
    """One line each, and one that sums up."""
    errors = errors_in(problems)
    warnings = len(problems) - errors
    lines = [f"{problem.severity}: {problem}\n" for problem in problems]
    verdict = "can not be used" if errors else "can be used"
    return "".join(lines) + f"{path} {verdict}: {_count(errors, 'error')}, {_count(warnings, 'warning')}\n"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
