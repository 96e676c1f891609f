"""One process that calls the ledger: `python -m bench.ledger.child core|grpc|edge ADDRESS`.

Each line of stdin is an order {"callers", "seconds", "keys"}, each line of stdout what was measured. Ends
with stdin.
"""

import asyncio
import gc
import json
import sys

import structlog
import uvloop

from bench.ledger.load import run
from bench.ledger.targets import CoreTarget, NoLedger, open_target
from meshgate_chassis.run import GC_THRESHOLD

LATENCIES_MAX = 20_000  # told of one order
IDLE_S = 0.05


async def serve(kind: str, address: str) -> None:
    loop = asyncio.get_running_loop()
    async with open_target(kind, address) as target:
        gc.freeze()  # both as the service does
        gc.set_threshold(GC_THRESHOLD)
        print("{}", flush=True)
        while text := await loop.run_in_executor(None, sys.stdin.readline):
            order = json.loads(text)
            idle, idle_cpu_s = await run(CoreTarget(NoLedger(), ""), 1, IDLE_S, order["keys"])
            measured, cpu_s = await run(target, order["callers"], order["seconds"], order["keys"])
            told = {
                "pairs": measured.pairs,
                "duration_s": measured.duration_s,
                "cpu_s": cpu_s,
                "load_cpu_s": idle_cpu_s + idle_cpu_s / idle.pairs * measured.pairs,  # nothing of the core's
                "reserve_us": _microseconds(measured.reserve_s),
                "settle_us": _microseconds(measured.settle_s),
            }
            print(json.dumps(told), flush=True)


def _microseconds(latencies_s: list[float]) -> list[int]:
    step = max(1, len(latencies_s) // LATENCIES_MAX)
    return [round(each * 1e6) for each in latencies_s[::step]]


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is for answers
    uvloop.run(serve(sys.argv[1], sys.argv[2]))
