"""What tracing costs: untraced meshes and traced ones, asked at the same time."""

from collections.abc import Mapping
from dataclasses import replace

from bench.asking import AT_A_RATE, CLOSED, Slices
from bench.beside import Start, side_by_side_results
from bench.mesh import Variant, mesh
from bench.session import Result

UNTRACED, AGAIN = "untraced", "untraced-again"  # the second tells what is noise
RATIOS = {"traced-1%": 0.01, "traced-100%": 1.0}
LOADS = (AT_A_RATE, CLOSED)
FULL = Slices(count=12, seconds=4)
QUICK = Slices(count=4, seconds=3, warm_up_s=1)


def tracing(ours: Variant, *, quick: bool) -> Mapping[str, Result]:
    """By mesh, the untraced first. `ours`: what is measured, but for its name. `quick`: without a second
    untraced one.
    """
    plain = replace(ours, name=UNTRACED, restarted=False)
    starts: list[Start] = [lambda place: mesh(place, plain)]
    if not quick:
        starts.append(lambda place: mesh(place, replace(plain, name=AGAIN)))
    for name, ratio in RATIOS.items():
        starts.append(
            lambda place, name=name, ratio=ratio: mesh(  # type: ignore[misc]
                place, plain.traced(name, ratio, place.provider.port)
            )
        )
    return side_by_side_results(starts, LOADS, QUICK if quick else FULL)
