"""Asks deployments whether they answer, with a few tokens each. It costs money: only on an explicit wish.

A probe is a call like any other: it has a lease, so that its outcome reaches the breaker and the counts.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from meshgate_chassis.chat.request_json import request_from_json
from meshgate_chassis.clock import Clock
from meshgate_chassis.config.model import Deployment, RouterConfig
from meshgate_chassis.config.names import ModelGroup, is_pattern
from meshgate_router.catalog import Catalog
from meshgate_router.failures import model_not_found, safe_text
from meshgate_router.lease import Terms, Tokens
from meshgate_router.provider_call import ProviderCaller
from meshgate_router.providers.base import ProviderError
from meshgate_router.selection import Selector
from meshgate_router.timing import RETURN_S, TimeoutRules, call_limits, configured_s, rules_for

PROBES_MAX: Final = 500  # of one request
AT_A_TIME: Final = 8
PROBE_S_MAX: Final = 30.0
PROMPT: Final = "Say ok."
ANSWER_TOKENS_MAX: Final = 16  # the least that every provider allows


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """`probed`: False: it was not called, and `message` tells why."""

    deployment: Deployment
    healthy: bool
    probed: bool = True
    reason: str = ""
    message: str = ""
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ProbeParts:
    """What probes work with."""

    catalog: Catalog
    deployments: Sequence[Deployment]
    selector: Selector
    caller: ProviderCaller
    config: RouterConfig
    timeouts: TimeoutRules
    clock: Clock


class Prober:
    """Safe to share."""

    def __init__(self, parts: ProbeParts) -> None:
        self._parts = parts

    async def probe(self, model: str, deployment_id: str, deadline_s: float) -> Sequence[ProbeResult]:
        """All deployments, or those of a model, or one. `deadline_s`: on the monotonic clock. Raises
        MODEL_NOT_FOUND."""
        wanted = self._wanted(model)
        chosen = [each for each in wanted if deployment_id in ("", each.id)][:PROBES_MAX]
        room = asyncio.Semaphore(AT_A_TIME)

        async def one(deployment: Deployment) -> ProbeResult:
            async with room:
                return await self._one(deployment, deadline_s)

        return await asyncio.gather(*map(one, chosen))

    def _wanted(self, model: str) -> Sequence[Deployment]:
        if not model:
            return [each for each in self._parts.deployments if each.same_as is None]
        group = self._parts.catalog.find(model)
        if group is None:
            raise model_not_found(model)
        return group.deployments

    async def _one(self, deployment: Deployment, deadline_s: float) -> ProbeResult:
        if deployment.blocked:
            return _left_out(deployment, "it is blocked")
        if is_pattern(deployment.model_group):
            return _left_out(deployment, "a pattern is no model: name one")
        if deployment.mode not in ("", "chat"):
            return _left_out(deployment, f"models of mode {deployment.mode} are not probed")
        terms = self._terms(deployment, deadline_s)
        if terms is None:
            return _left_out(deployment, "no time was left")
        return await self._called(deployment, terms)

    async def _called(self, deployment: Deployment, terms: Terms) -> ProbeResult:
        group = ModelGroup(deployment.model_group, (deployment,))
        lease = self._parts.selector.probe(group, deployment, terms)
        chat = request_from_json(
            {
                "model": deployment.model_group,
                "messages": [{"role": "user", "content": PROMPT}],
                "max_tokens": ANSWER_TOKENS_MAX,
            }
        )
        start_s = self._parts.clock.monotonic_s()
        tokens = None
        try:
            answer = await self._parts.caller.create(chat, deployment, lease.timeouts)
            lease.answered()
            usage = answer.response.usage
            tokens = Tokens(usage.prompt_tokens, usage.completion_tokens)
        except ProviderError as error:
            lease.failed(error)
            return ProbeResult(
                deployment=deployment,
                healthy=False,
                reason=error.kind.value,
                message=safe_text(error.message, deployment),
                duration_s=self._parts.clock.monotonic_s() - start_s,
            )
        finally:
            lease.ended(tokens)
        return ProbeResult(deployment, healthy=True, duration_s=self._parts.clock.monotonic_s() - start_s)

    def _terms(self, deployment: Deployment, deadline_s: float) -> Terms | None:
        parts = self._parts
        left_s = min(PROBE_S_MAX, deadline_s - parts.clock.monotonic_s() - RETURN_S)
        limit_s = configured_s(deployment, parts.config, stream=False)
        rules = rules_for(parts.timeouts, deployment, parts.config)
        limits = call_limits(limit_s, None, left_s, rules, stream=False)
        return None if limits is None else Terms(limits.timeouts, limits.shortened, stream=False)


def _left_out(deployment: Deployment, why: str) -> ProbeResult:
    return ProbeResult(deployment, healthy=False, probed=False, message=why)
