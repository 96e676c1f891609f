"""The long runs of the benchmark in small: the whole mesh, real processes, and a verdict that can be no."""

from dataclasses import replace

from bench.beside import workplace
from bench.books import read_books
from bench.drift import Slice
from bench.memory import MemoryWatch
from bench.mesh import started
from bench.provider import Answer
from bench.soak import judged_traffic
from bench.soak import measured as soaked
from bench.soak import variant as soak_variant
from bench.streams import Streaming, StreamRun, judged
from bench.streams import variant as stream_variant

REQUESTS = 300
STREAMS, GAP_US = 4, 5_000
STEADY = [Slice(1, 1.0, 1.0, 1.0, 1.0)] * 2


async def test_mixed_requests_are_on_the_books_and_cut_streams_are_found() -> None:
    """300 requests of all kinds: each has its entry at its price, hung up and failed ones too.

    Then streams that the provider cuts: the run says that they broke, and the books still balance.
    """
    cut = stream_variant("small", Answer(paced=True, cut_after=5))
    both = replace(soak_variant("small"), models={**soak_variant("small").models, **cut.models})
    with workplace() as place, started(place, both) as running:
        seen, books = await soaked(running, both, MemoryWatch(running.roots()), REQUESTS)
        assert REQUESTS == seen.sent.total() == seen.done
        assert seen.left > 0
        assert [] == [one for one in judged_traffic(seen, books) if not one.passed]

        run = StreamRun(running, place.provider, Streaming(STREAMS, gap_us=GAP_US))
        await run.measured(0.5)
        books = await read_books(running, both.python, {**seen.by_model(), **run.seen.sent})
    assert 0 == run.seen.whole
    assert books.balanced and not books.open_holds
    verdicts = {one.title: one.passed for one in judged(run.seen, books, STEADY)}
    assert not verdicts["no stream broke"]
    assert verdicts["no drift in the delay of chunks"]
