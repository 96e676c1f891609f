"""`make torture`: kill -9 and worse at a thousand random points (tests/support/torture.py), a fresh mesh each
round.

Rounds run side by side (ROUNDS=2), each with a PostgreSQL, a provider and ports of its own. Prints the seed
of every round; `make torture POINTS=50 SEED=n ROUNDS=1` repeats one, as far as chance allows. Ends with an
error as soon as one call is lost, doubled or wrong.
"""

import argparse
import asyncio
import multiprocessing
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.support.torture import Comparison, compare, tortured

POINTS_OF_A_ROUND = 50

Round = tuple[Comparison, Counter[str], Counter[str], Counter[str]]


async def one_round(seed: int, points: int) -> Round:
    """Odd seeds refuse while the ledger is away, even ones let calls go on."""
    async with tortured(seed, allow=seed % 2 == 0) as torture:
        await torture.run(points)
        await torture.calm()
        found = await compare(torture.dsn, torture.provider)
    return found, torture.processes.kills, torture.processes.blows, torture.statuses


def played(seed: int, points: int) -> Round:
    """One round in a process that plays several, one after the other."""
    return asyncio.run(one_round(seed, points))


def main() -> int:
    parser = argparse.ArgumentParser(prog="torture", description=__doc__)
    parser.add_argument("--points", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    parser.add_argument("--rounds", type=int, default=2, help="at a time")
    asked = parser.parse_args()
    counts = [
        min(POINTS_OF_A_ROUND, asked.points - done) for done in range(0, asked.points, POINTS_OF_A_ROUND)
    ]
    seeds = range(asked.seed, asked.seed + len(counts))
    totals, kills, blows = Counter[str](), Counter[str](), Counter[str]()
    began_s = time.monotonic()
    with ProcessPoolExecutor(asked.rounds, multiprocessing.get_context("spawn")) as players:
        rounds = players.map(played, seeds, counts)
        for seed, points, (found, killed, dealt, statuses) in zip(seeds, counts, rounds, strict=True):
            kills.update(killed)
            blows.update(dealt)
            totals.update(
                points=points,
                served=found.served,
                exact=found.exact,
                estimated=found.estimated,
                expired=found.expired,
            )
            print(
                f"seed {seed}: {points} points, {dict(killed)} kills, {dict(dealt)}, {dict(statuses)}"
                f" answers; served {found.served}, exact {found.exact}, estimated {found.estimated}"
                f" (expired {found.expired}); {time.monotonic() - began_s:.0f} s",
                flush=True,
            )
            if not found.clean:
                print(
                    f"NOT CLEAN, seed {seed}: lost {found.lost}, doubled {found.doubled},"
                    f" wrong {found.wrong}, differences {found.differences}",
                    flush=True,
                )
                players.shutdown(cancel_futures=True)
                return 1
    print(f"{dict(kills)} kills, {dict(blows)}: lost 0, doubled 0, wrong 0, books balanced; {dict(totals)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
