"""`make torture`: kill -9 at a thousand random points (tests/support/torture.py), a fresh mesh each round.

Prints the seed of every round; `make torture POINTS=25 SEED=n` repeats one, as far as chance allows. Ends
with an error as soon as one call is lost, doubled or wrong.
"""

import argparse
import asyncio
import sys
from collections import Counter

from tests.support.torture import Comparison, compare, tortured

POINTS_OF_A_ROUND = 25


async def one_round(seed: int, points: int) -> tuple[Comparison, Counter[str], Counter[str]]:
    """Odd seeds refuse while the ledger is away, even ones let calls go on."""
    async with tortured(seed, allow=seed % 2 == 0) as torture:
        await torture.run(points)
        await torture.calm()
        found = await compare(torture.dsn, torture.provider)
    return found, torture.processes.kills, torture.statuses


def main() -> int:
    parser = argparse.ArgumentParser(prog="torture", description=__doc__)
    parser.add_argument("--points", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    asked = parser.parse_args()
    done, totals, kills = 0, Counter[str](), Counter[str]()
    seed = asked.seed
    while done < asked.points:
        points = min(POINTS_OF_A_ROUND, asked.points - done)
        found, killed, statuses = asyncio.run(one_round(seed, points))
        kills.update(killed)
        done += points
        totals.update(
            served=found.served, exact=found.exact, estimated=found.estimated, expired=found.expired
        )
        print(
            f"seed {seed}: {points} points, {dict(killed)} kills, {dict(statuses)} answers;"
            f" served {found.served}, exact {found.exact}, estimated {found.estimated}"
            f" (expired {found.expired})",
            flush=True,
        )
        if not found.clean:
            print(
                f"NOT CLEAN, seed {seed}: lost {found.lost}, doubled {found.doubled}, wrong {found.wrong},"
                f" differences {found.differences}"
            )
            return 1
        seed += 1
    print(f"{done} points, {dict(kills)} kills: lost 0, doubled 0, wrong 0, books balanced; {dict(totals)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
