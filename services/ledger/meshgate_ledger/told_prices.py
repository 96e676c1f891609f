"""A model's prices as a grant tells them, so that the edge knows a cost before it is posted."""

from collections.abc import Sequence
from typing import Final

from meshgate_chassis.clock import Clock
from meshgate_ledger.price import Price, Rates
from meshgate_ledger.price_book import PriceBook
from meshgate_ledger.records import utc
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb

DEPLOYMENTS_MAX: Final = 8  # of more none is told: they would make every grant big
MODELS_REMEMBERED_MAX: Final = 10_000
MINUTE_NS: Final = 60_000_000_000  # no price begins or ends within one


class ToldPrices:
    """Remembers the messages; those of all models are made anew each minute."""

    def __init__(self, book: PriceBook, clock: Clock) -> None:
        self._book = book
        self._clock = clock
        self._models: dict[str, Sequence[pb.DeploymentPrice]] = {}
        self._minute = 0

    def of(self, model: str) -> Sequence[pb.DeploymentPrice]:
        """Of the deployments of a public name, those whose price is known."""
        now_ns = self._clock.now_ns()
        minute = now_ns // MINUTE_NS
        if minute != self._minute or len(self._models) >= MODELS_REMEMBERED_MAX:
            self._models.clear()
            self._minute = minute
        told = self._models.get(model)
        if told is None:
            priced = self._book.deployments_of(model, utc(now_ns))
            told = self._models[model] = [
                pb.DeploymentPrice(
                    deployment_id=deployment.id,
                    provider=deployment.provider,
                    upstream_model=deployment.upstream_model,
                    rates=rates_to(price.rates),
                    tiers=tiers_to(price),
                )
                for deployment, price in (priced if len(priced) <= DEPLOYMENTS_MAX else ())
            ]
        return told


def tiers_to(price: Price) -> list[pb.PriceTier]:
    return [
        pb.PriceTier(prompt_tokens_above=tier.prompt_tokens_above, rates=rates_to(tier.rates))
        for tier in price.tiers
    ]


def rates_to(rates: Rates) -> pb.Rates:
    return pb.Rates(
        input=rates.input,
        output=rates.output,
        cache_read=rates.cache_read,
        cache_creation=rates.cache_creation,
        reasoning=rates.reasoning,
        request_usd_nanos=rates.request_nanos,
        audio_input=rates.audio_input,
        audio_output=rates.audio_output,
    )
