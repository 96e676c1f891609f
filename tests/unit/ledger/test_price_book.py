"""What a call costs, and what a public name may cost."""

from datetime import UTC, datetime

from meshgate_chassis.config.model import DeploymentPrice
from meshgate_chassis.config.names import PublicNames, grouped
from meshgate_ledger.price_book import FREE, PriceBook
from tests.unit.ledger.subject import LIBRARY, PRICE, deployment

NOW = datetime(2026, 11, 21, tzinfo=UTC)
DEPLOYMENTS = (
    deployment("gpt", provider="openai", upstream_model="gpt-4o"),
    deployment("gpt", provider="openai", upstream_model="my-own", price=PRICE, number=2),
    deployment("mixed", provider="openai", upstream_model="gpt-4o"),
    deployment("mixed", provider="openai", upstream_model="nobody", number=2),
    deployment("local", provider="ollama_chat", upstream_model="llama"),
    deployment("renamed", provider="azure", upstream_model="x", model_info={"base_model": "azure/gpt-4o"}),
    deployment("openai/*", provider="openai", upstream_model="*"),
    deployment("openai/gpt-4o*", provider="openai", upstream_model="gpt-4o*", number=2),
)
NAMES = PublicNames(grouped(DEPLOYMENTS), {"alias": "gpt"})


def test_where_prices_come_from() -> None:
    """The configuration, the operator's own machines, the library; else the price is unknown."""
    book = PriceBook(NAMES, DEPLOYMENTS, LIBRARY)

    configured = book.of_call("gpt-2", "openai", "my-own", NOW)
    assert configured is not None
    assert ("config", 1_000_000) == (configured.source, configured.rates.input)
    assert FREE == book.of_call("local-1", "ollama_chat", "llama", NOW)
    library = book.of_call("gpt-1", "openai", "gpt-4o", NOW)
    assert library is not None
    assert 2_500_000_000 == library.rates.input
    assert library == book.of_call("gone", "openai", "gpt-4o", NOW)
    assert library == book.of_call("renamed-1", "azure", "x", NOW)
    assert book.of_call("mixed-2", "openai", "nobody", NOW) is None


def test_a_deployment_whose_entry_was_changed() -> None:
    """Its calls that are posted later cost what is written for the same model now, the dearest of it: a
    model of one's own is in no library, and would be free."""
    dearer = DeploymentPrice(3_000_000, 30_000_000)
    deployments = (
        *DEPLOYMENTS,
        deployment("other", provider="openai", upstream_model="my-own", price=dearer),
    )
    book = PriceBook(PublicNames(grouped(deployments), {}), deployments, LIBRARY)

    late = book.of_call("id of before", "openai", "my-own", NOW)
    assert late is not None
    assert ("config", 3_000_000) == (late.source, late.rates.input)
    assert book.of_call("id of before", "azure", "my-own", NOW) is None
    still_there = book.of_call("gpt-2", "openai", "my-own", NOW)
    assert still_there is not None
    assert 1_000_000 == still_there.rates.input


def test_nobody_knows_who_served_it() -> None:
    """A call that was lost with its edge is charged at the dearest price behind its public name."""
    book = PriceBook(NAMES, DEPLOYMENTS, LIBRARY)

    assert book.of_call("gpt-1", "openai", "gpt-4o", NOW) == book.of_call("", "", "gpt", NOW)
    assert book.of_call("", "", "nobody-asked-for-this", NOW) is None


def test_the_prices_behind_a_name() -> None:
    """All of them, and whether one is missing."""
    book = PriceBook(NAMES, DEPLOYMENTS, LIBRARY)

    assert (2, True) == _summary(book, "gpt") == _summary(book, "alias")
    assert (1, False) == _summary(book, "mixed")
    assert (1, True) == _summary(book, "openai/gpt-4o-mini")
    assert (0, False) == _summary(book, "unknown")


def test_a_configured_price_of_zero_is_known() -> None:
    """Free because the operator says so."""
    deployments = (deployment("m", upstream_model="nobody", price=DeploymentPrice(0, 0)),)
    book = PriceBook(PublicNames(grouped(deployments), {}), deployments, LIBRARY)

    assert (1, True) == _summary(book, "m")


def _summary(book: PriceBook, model: str) -> tuple[int, bool]:
    prices = book.of_model(model, NOW)
    return len(prices.prices), prices.complete
