"""What every store promises. A test class per store inherits it and gives the fixture `store`."""

from dataclasses import replace
from typing import Final

from meshgate_cache.claims import Claim, Look
from meshgate_cache.entry import CacheEntry
from meshgate_cache.keys import cache_key, store_key, store_prefix
from meshgate_cache.store import Put, Store

ENTRY: Final = CacheEntry(b"an answer", 1_700_000_000_000_000_000, "deployment", 1_234)
LONG_S: Final = 5.0  # the caller's time left, where it does not matter
TTL_S: Final = 60.0


def name(tenant: str = "a", namespace: str = "n", request: bytes = b"r") -> str:
    """The store key of a request."""
    return store_key(namespace, cache_key(tenant, namespace, request))


class StoreSuite:
    """Tests of the interface; `after` waits until an entry with a TTL of `short_s` is over."""

    short_s = 0.05

    async def after(self, store: Store, key: str) -> None:
        raise NotImplementedError

    async def test_nothing_is_found_at_first(self, store: Store) -> None:
        """A miss is None."""
        assert await store.get(name(), LONG_S) is None

    async def test_an_entry_is_found_as_it_was_put(self, store: Store) -> None:
        """More than once."""
        await store.put(name(), ENTRY, TTL_S, LONG_S)

        assert ENTRY == await store.get(name(), LONG_S)
        assert ENTRY == await store.get(name(), LONG_S)

    async def test_the_last_one_wins(self, store: Store) -> None:
        """A second answer replaces the first."""
        later = replace(ENTRY, response=b"another answer")
        await store.put(name(), ENTRY, TTL_S, LONG_S)
        await store.put(name(), later, TTL_S, LONG_S)

        assert later == await store.get(name(), LONG_S)

    async def test_a_large_entry_survives(self, store: Store) -> None:
        """Every byte of it."""
        large = replace(ENTRY, response=bytes(range(256)) * 4_000)
        await store.put(name(), large, TTL_S, LONG_S)

        assert large == await store.get(name(), LONG_S)

    async def test_an_entry_ends_with_its_time(self, store: Store) -> None:
        """And one with a longer time does not."""
        await store.put(name(), ENTRY, self.short_s, LONG_S)
        await store.put(name(request=b"other"), ENTRY, TTL_S, LONG_S)
        await self.after(store, name())

        assert await store.get(name(), LONG_S) is None
        assert ENTRY == await store.get(name(request=b"other"), LONG_S)

    async def test_putting_again_gives_new_time(self, store: Store) -> None:
        """The TTL counts from the last put."""
        await store.put(name(), ENTRY, self.short_s, LONG_S)
        await store.put(name(), ENTRY, TTL_S, LONG_S)
        await store.put(name(request=b"other"), ENTRY, self.short_s, LONG_S)
        await self.after(store, name(request=b"other"))

        assert ENTRY == await store.get(name(), LONG_S)

    async def test_entries_are_counted_by_namespace(self, store: Store) -> None:
        """Those that are there now, whatever the namespace is called."""
        assert {} == await store.count(LONG_S)
        for namespace, request in (("n", b"r"), ("n", b"s"), ("a:b*[c]", b"r")):
            await store.put(name(namespace=namespace, request=request), ENTRY, TTL_S, LONG_S)
        await store.put(name(namespace="short"), ENTRY, self.short_s, LONG_S)
        await self.after(store, name(namespace="short"))

        assert {"n": 2, "a:b*[c]": 1} == await store.count(LONG_S)

    async def test_everything_is_cleared(self, store: Store) -> None:
        """Of all namespaces, claims included."""
        kept = [name(namespace=namespace) for namespace in ("n", "n:m", "a:b*[c]")]
        await store.put_many([Put(key, ENTRY, TTL_S) for key in kept], LONG_S)
        await store.get_or_claim(Claim(name(request=b"claimed"), "token", TTL_S), LONG_S)

        assert 3 <= await store.clear_all(LONG_S)
        assert [None] * 3 == await store.get_many(kept, LONG_S)
        assert {} == await store.count(LONG_S)
        other = Claim(name(request=b"claimed"), "other", TTL_S)
        assert Look(holder="other") == await store.get_or_claim(other, LONG_S)

    async def test_many_are_put_and_found_at_once(self, store: Store) -> None:
        """In the order of the keys; what is missing is None; nothing is nothing."""
        keys = [name(request=bytes([number])) for number in range(4)]
        await store.put_many([Put(key, ENTRY, TTL_S) for key in keys[:3]], LONG_S)
        await store.put_many([], LONG_S)

        assert [ENTRY, None, ENTRY] == await store.get_many([keys[0], keys[3], keys[2]], LONG_S)
        assert [] == await store.get_many([], LONG_S)

    async def test_the_first_claim_holds(self, store: Store) -> None:
        """Until it is released by its own token; it is no entry, and an entry ends it."""
        one, two = Claim(name(), "one", TTL_S), Claim(name(), "two", TTL_S)

        assert Look(holder="one") == await store.get_or_claim(one, LONG_S)
        assert Look(holder="one") == await store.get_or_claim(two, LONG_S)
        assert await store.get(name(), LONG_S) is None
        await store.release(two, unshared=False, remaining_s=LONG_S)
        assert (1, 0) == (await store.renew([one], LONG_S), await store.renew([two], LONG_S))
        await store.release(one, unshared=False, remaining_s=LONG_S)
        assert Look(holder="two") == await store.get_or_claim(two, LONG_S)
        await store.put(name(), ENTRY, TTL_S, LONG_S)
        assert Look(ENTRY) == await store.get_or_claim(one, LONG_S)
        await store.release(two, unshared=True, remaining_s=LONG_S)
        assert Look(ENTRY) == await store.get_or_claim(one, LONG_S)

    async def test_where_answers_are_not_kept_nobody_claims(self, store: Store) -> None:
        """But an answer may be put all the same; and what is cleared can be claimed."""
        one, two = Claim(name(), "one", TTL_S), Claim(name(), "two", TTL_S)
        await store.get_or_claim(one, LONG_S)
        await store.release(one, unshared=True, remaining_s=LONG_S)

        assert Look() == await store.get_or_claim(two, LONG_S)
        await store.clear(store_prefix("n", ""), LONG_S)
        assert Look(holder="two") == await store.get_or_claim(two, LONG_S)

    async def test_a_claim_ends_with_its_lease(self, store: Store) -> None:
        """Then the next one gets it."""
        short = Claim(name(), "one", self.short_s)
        await store.get_or_claim(short, LONG_S)
        await store.put(name(request=b"beside"), ENTRY, self.short_s, LONG_S)
        await self.after(store, name(request=b"beside"))

        assert Look(holder="two") == await store.get_or_claim(Claim(name(), "two", TTL_S), LONG_S)

    async def test_keys_are_deleted(self, store: Store) -> None:
        """Those that exist are counted; the others stay."""
        keys = [name(request=bytes([number])) for number in range(3)]
        for key in keys:
            await store.put(key, ENTRY, TTL_S, LONG_S)

        assert 2 == await store.delete([*keys[:2], name(request=b"missing")], LONG_S)
        assert 0 == await store.delete([], LONG_S)
        assert [None, None, ENTRY] == [await store.get(key, LONG_S) for key in keys]

    async def test_a_namespace_is_cleared(self, store: Store) -> None:
        """All of it, in more than one step; none of others that begin alike or look like a pattern."""
        namespaces = ("n", "n:x", "n*", "[n]", "m", "n\\", "?")
        for namespace in namespaces:
            await store.put(name(namespace=namespace), ENTRY, TTL_S, LONG_S)
        for number in range(2_500):
            await store.put(name(request=b"%d" % number), ENTRY, TTL_S, LONG_S)

        assert 2_501 == await store.clear(store_prefix("n", ""), LONG_S)
        for namespace in namespaces[1:]:
            assert ENTRY == await store.get(name(namespace=namespace), LONG_S)
            assert 1 == await store.clear(store_prefix(namespace, ""), LONG_S)

    async def test_a_tenant_is_cleared(self, store: Store) -> None:
        """Without the other tenants of the namespace."""
        await store.put(name("a"), ENTRY, TTL_S, LONG_S)
        await store.put(name("b"), ENTRY, TTL_S, LONG_S)

        assert 1 == await store.clear(store_prefix("n", "a"), LONG_S)
        assert await store.get(name("a"), LONG_S) is None
        assert ENTRY == await store.get(name("b"), LONG_S)

    async def test_it_says_that_it_answers(self, store: Store) -> None:
        """When it does."""
        assert await store.reachable(LONG_S)

    async def test_its_servers_tell_of_themselves(self, store: Store) -> None:
        """What INFO and CLIENT LIST say; memory has no server."""
        servers = await store.servers(LONG_S)
        assert (store.backend == "redis") == bool(servers)
        for server in servers:
            assert server.info["connected_clients"] >= 1
            assert server.clients and server.clients[0]["addr"]
