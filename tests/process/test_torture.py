"""kill -9 of edge, ledger and router at random points, with clients that leave and answers that are cut.

`make torture` does a thousand points of this.
"""

import pytest

from tests.support.torture import compare, tortured

POINTS = 8


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("seed", "allow"), [(1, False), (2, True), (3, False)])
async def test_no_entry_is_lost_or_doubled_and_no_bill_is_wrong(seed: int, allow: bool) -> None:
    """The ledger's books beside the provider's: what is said to be exact is, all else is flagged."""
    async with tortured(seed, allow=allow) as torture:
        await torture.run(POINTS)
        await torture.calm()
        found = await compare(torture.dsn, torture.provider)
    assert POINTS <= torture.processes.kills.total() + torture.processes.blows.total()
    assert found.served > 20
    assert found.exact > 10
    assert found.clean, found
