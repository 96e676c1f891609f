"""The price of a call: from the configuration, else free of charge, else from the library, else unknown.

Unknown is None, never zero: who asks must decide what an unknown price means.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from meshgate_chassis.config.model import Deployment, DeploymentPrice
from meshgate_chassis.config.names import PublicNames
from meshgate_ledger.price import Price, PriceTier, Rates, highest_cost
from meshgate_ledger.price_library import PriceLibrary

# Providers that run on the operator's own machines: nobody sends a bill.
FREE_PROVIDERS = frozenset({"demo", "hosted_vllm", "llamafile", "lm_studio", "ollama", "ollama_chat", "vllm"})
MODELS_REMEMBERED_MAX = 10_000
FREE = Price(Rates(input=0, output=0), source="free")


@dataclass(frozen=True, slots=True)
class ModelPrices:
    """What a public name may cost: the known prices of its deployments, and whether that is all of them."""

    prices: tuple[Price, ...]
    complete: bool


class PriceBook:
    """Prices of one configuration."""

    def __init__(
        self, names: PublicNames, deployments: tuple[Deployment, ...], library: PriceLibrary
    ) -> None:
        self._names = names
        self._deployments = {deployment.id: deployment for deployment in deployments}
        self._configured = {
            deployment.id: price_from_config(deployment.price)
            for deployment in deployments
            if deployment.price is not None
        }
        self._written: dict[tuple[str, str], list[Price]] = {}  # by provider and its model
        for each in deployments:
            if each.id in self._configured:
                key = (each.provider, each.upstream_model)
                self._written.setdefault(key, []).append(self._configured[each.id])
        self._library = library
        self._models: dict[str, ModelPrices] = {}
        self._models_at: tuple[int, ...] = ()  # the minute for which they are remembered

    def of_model(self, model: str, at: datetime) -> ModelPrices:
        """The prices behind a public name. Nobody serves it: no price, not complete.

        No price begins or ends within a minute: they are looked up once in each.
        """
        minute = (at.year, at.month, at.day, at.hour, at.minute)
        if minute != self._models_at or len(self._models) >= MODELS_REMEMBERED_MAX:
            self._models.clear()
            self._models_at = minute
        prices = self._models.get(model)
        if prices is None:
            prices = self._models[model] = self._of_model(model, at)
        return prices

    def _of_model(self, model: str, at: datetime) -> ModelPrices:
        group = self._names.find(model)
        deployments = group.deployments if group is not None else ()
        found = [self._price(each, each.provider, each.upstream_model, at) for each in deployments]
        known = tuple(price for price in found if price is not None)
        return ModelPrices(known, complete=bool(found) and len(known) == len(found))

    def deployments_of(self, model: str, at: datetime) -> list[tuple[Deployment, Price]]:
        """The deployments behind a public name, as they are called for it, whose price is known."""
        group = self._names.find(model)
        deployments = group.deployments if group is not None else ()
        found = [(each, self._price(each, each.provider, each.upstream_model, at)) for each in deployments]
        return [(deployment, price) for deployment, price in found if price is not None]

    def of_call(self, deployment_id: str, provider: str, upstream_model: str, at: datetime) -> Price | None:
        """The price of a call that was made. The deployment may be gone from the configuration, or have
        another id since its entry was changed: then the dearest price that is written for the same model
        there. When nobody can say who served it, `upstream_model` is the public name that was asked for: the
        dearest of it."""
        if not deployment_id and not provider:
            return _dearest(self.of_model(upstream_model, at).prices)
        deployment = self._deployments.get(deployment_id)
        written = [] if deployment is not None else self._written.get((provider, upstream_model), [])
        return _dearest(written) or self._price(deployment, provider, upstream_model, at)

    def _price(self, deployment: Deployment | None, provider: str, model: str, at: datetime) -> Price | None:
        if deployment is not None and deployment.id in self._configured:
            return self._configured[deployment.id]
        if provider in FREE_PROVIDERS:
            return FREE
        base_model = deployment.model_info.get("base_model") if deployment is not None else None
        if isinstance(base_model, str) and base_model:
            head, slash, rest = base_model.partition("/")
            return self._library.price(head, rest, at) if slash else self._library.price(provider, head, at)
        return self._library.price(provider, model, at)


def _dearest(prices: Sequence[Price]) -> Price | None:
    return max(prices, key=lambda price: highest_cost(price, 1_000, 1_000).total, default=None)


def price_from_config(price: DeploymentPrice) -> Price:
    """A price as the operator wrote it."""
    tiers = tuple(PriceTier(above, _rates(tier)) for above, tier in price.tiers)
    return Price(_rates(price), source="config", tiers=tiers)


def _rates(price: DeploymentPrice) -> Rates:
    return Rates(
        input=price.input_nanos_per_mtok,
        output=price.output_nanos_per_mtok,
        cache_read=price.cache_read_nanos_per_mtok,
        cache_creation=price.cache_creation_nanos_per_mtok,
        reasoning=price.reasoning_nanos_per_mtok,
        request_nanos=price.request_nanos,
        audio_input=price.audio_input_nanos_per_mtok,
        audio_output=price.audio_output_nanos_per_mtok,
    )
