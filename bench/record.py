"""Keeps a run: JSON with everything, and a plot for the eye."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.goals import reached
from bench.machine import REPOSITORY, commit, machine
from bench.plot import plot
from bench.report import report
from bench.session import Result
from bench.verdict import Verdict

_NUMBERS = re.compile(r"\[\n([\d\s.,e+-]+)\]")
RESULTS = REPOSITORY / "docs" / "benchmarks"


def write(
    folder: Path,
    name: str,
    measured: tuple[Mapping[str, Result], Mapping[str, Result]],
    noise: Mapping[str, Any],
) -> list[Path]:
    """`name`.json, `name`.svg and `name`.txt: the newest run of its kind; git keeps the older ones.

    `measured`: turn by turn, and at the same time.
    """
    results, traced = measured
    folder.mkdir(parents=True, exist_ok=True)
    found = machine()
    record: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": found,
        "noise": dict(noise),
        "goals": [asdict(one) for one in reached(results, traced)],
        "subjects": {subject: result_record(result) for subject, result in results.items()},
        "side_by_side": {subject: result_record(result) for subject, result in traced.items()},
    }
    data, picture, text = (folder / f"{name}.{kind}" for kind in ("json", "svg", "txt"))
    data.write_text(_json(record))
    told = f"commit {record['commit']}, {record['at'][:10]}, {found['cores']} cores ({found['cpu']}),"
    told += f" {noise['rounds']} rounds"
    picture.write_text(plot(results, told))
    busy = f"cores busy with something else: {noise['cores_busy_before']:.2f} before, "
    busy += f"{noise['cores_busy_after']:.2f} after"
    text.write_text(f"{told}: median (minimum maximum)\n{busy}\n\n{report(results, traced)}\n")
    return [data, picture, text]


def _json(record: Mapping[str, Any]) -> str:
    """Indented, but each list of numbers on one line."""
    text = json.dumps(record, indent=1)
    return _NUMBERS.sub(lambda found: "[" + " ".join(found[1].split()) + "]", text) + "\n"


def write_alone(name: str, content: Mapping[str, Any], verdicts: Sequence[Verdict]) -> Path:
    """`name`.json of a run without peers, with what it has to show."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    record = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "verdicts": [asdict(one) for one in verdicts],
        **content,
    }
    path = RESULTS / f"{name}.json"
    path.write_text(_json(record))
    return path


def result_record(result: Result) -> dict[str, Any]:
    """For JSON."""
    kept = asdict(replace(result, failures=Counter()))
    kept["failures"] = dict(result.failures)
    kept["figures"] = {
        name: {
            "median": round(spread.median, 4),
            "min": round(spread.low, 4),
            "max": round(spread.high, 4),
            "turns": [round(turn, 4) for turn in spread.turns],
        }
        for name, spread in result.figures.items()
    }
    kept["start_s"] = {name: round(seconds, 2) for name, seconds in result.start_s.items()}
    return kept
