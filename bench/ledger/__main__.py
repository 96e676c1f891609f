"""`python -m bench.ledger [--quick] [--full]`: the ledger's throughput, cost and exactness.

Writes docs/benchmarks/ledger.json and prints a table. Without --quick about four minutes.
"""

import argparse
import asyncio
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from bench.ledger.exactness import LIMIT_METRICS, BudgetRun, LimitRun, budget_run, cluster, limit_run
from bench.ledger.store import Stage, add_key, ledgers, stage
from bench.ledger.throughput import KEYS, Cell, measure
from bench.machine import REPOSITORY, commit, machine, other_load
from bench.statistics import spreads

REPLICAS = ["replica-1", "replica-2", "replica-3", "replica-4"]
CALLERS = [1, 8, 64, 256]
FIRST_KEY = 1_000  # of the runs for exactness
TARGET = REPOSITORY / "docs" / "benchmarks" / "ledger.json"


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.ledger", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, nothing is written")
    parser.add_argument("--only", choices=("throughput", "exactness"), help="one half")
    asked = parser.parse_args()
    record: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "other_load_cores": round(other_load(), 2),
    }
    with stage() as place:
        with ledgers(place, ["migrates"]):
            pass
        if asked.only != "exactness":
            record["throughput"] = _throughput(place, quick=asked.quick)
        if asked.only != "throughput":
            record["exactness"] = _exactness(place, seeds=3 if asked.quick else 50)
    if not asked.quick and not asked.only:
        TARGET.write_text(json.dumps(record, indent=1) + "\n")
        print(f"written: {TARGET.relative_to(REPOSITORY)}")
    return 0


def _throughput(place: Stage, *, quick: bool) -> list[dict[str, Any]]:
    async def keys() -> None:
        for number in range(KEYS):
            await add_key(place.dsn, number, 10**17)

    asyncio.run(keys())
    cells = measure(place, [1, 64] if quick else CALLERS, turns=1 if quick else 3, seconds=1.0)
    told = [_cell(cell) for cell in cells]
    _print_cells(told)
    return told


def _cell(cell: Cell) -> dict[str, Any]:
    figures = {
        name: {"median": round(spread.median, 4), "turns": [round(turn, 4) for turn in spread.turns]}
        for name, spread in spreads(cell.turns).items()
    }
    return {"way": cell.way, "mode": cell.mode, "callers": cell.callers, "figures": figures}


def _print_cells(cells: list[dict[str, Any]]) -> None:
    print(
        "way   callers  commit    pairs/s  x single  reserve p50  p99 ms  settle p50  p99 ms"
        "   CPU us/pair: ledger  postgres  pairs/s per ledger core"
    )
    medians = {
        (cell["way"], cell["callers"], cell["mode"]): {
            name: figure["median"] for name, figure in cell["figures"].items()
        }
        for cell in cells
    }
    for (way, callers, mode), figures in medians.items():
        ratio = figures["pairs_per_s"] / medians[way, callers, "single"]["pairs_per_s"]
        print(
            f"{way:5} {callers:7}  {mode:6} {figures['pairs_per_s']:10.0f} {ratio:9.2f}"
            f" {figures['reserve_p50_ms']:12.2f} {figures['reserve_p99_ms']:7.2f}"
            f" {figures['settle_p50_ms']:11.2f} {figures['settle_p99_ms']:7.2f}"
            f" {figures['ledger_cpu_us']:21.0f} {figures['postgresql_cpu_us']:9.0f}"
            f" {figures['pairs_per_ledger_core_s']:24.0f}"
        )


def _exactness(place: Stage, seeds: int) -> dict[str, Any]:
    with ledgers(place, REPLICAS):
        budgets, limits = asyncio.run(_exact_runs(place, seeds))
    shares = [run.committed / run.cap for run in budgets]
    used = [run.settled / run.cap for run in budgets]
    exact = {
        metric: f"{sum(run.exact for run in limits if run.metric == metric)}/{seeds}"
        for metric in LIMIT_METRICS
    }
    print(
        f"budget: settled <= cap and books balanced in {sum(run.exact for run in budgets)}/{seeds};"
        f" of the cap in use at the first refusal: {min(shares):.2%} at least;"
        f" settled when nothing fitted any more: {min(used):.2%} at least"
    )
    print("admitted = limit: " + ", ".join(f"{metric} {count}" for metric, count in exact.items()))
    return {
        "seeds": seeds,
        "budget": [asdict(run) for run in budgets],
        "limits": [asdict(run) for run in limits],
        "committed_share_min": round(min(shares), 4),
        "settled_share_min": round(min(used), 4),
    }


async def _exact_runs(place: Stage, seeds: int) -> tuple[list[BudgetRun], list[LimitRun]]:
    budgets, limits = [], []
    async with cluster(place, REPLICAS) as on:
        number = FIRST_KEY
        for seed in range(seeds):
            budgets.append(await budget_run(on, seed, number))
            for offset, metric in enumerate(LIMIT_METRICS, 1):
                limits.append(await limit_run(on, seed, number + offset, metric))
            number += 1 + len(LIMIT_METRICS)
    return budgets, limits


if __name__ == "__main__":
    sys.exit(main())
