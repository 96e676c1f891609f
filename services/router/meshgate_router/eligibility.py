"""Which deployments of a group a request may be sent to at all, whatever their health: pure."""

from collections.abc import Collection, Sequence

from meshgate_chassis.config.model import Deployment, RouterConfig
from meshgate_router.journey import RouteTask

DEFAULT_TAG = "default"


def permitted(
    deployments: Sequence[Deployment], task: RouteTask, config: RouterConfig
) -> Sequence[Deployment]:
    """Those that are not blocked and fit the request's tags."""
    found = [each for each in deployments if not each.blocked]
    return tagged(found, task.tags, match_any=config.tags_match_any) if config.tag_filtering else found


def tagged(
    deployments: Sequence[Deployment], tags: Collection[str], *, match_any: bool
) -> Sequence[Deployment]:
    """As LiteLLM has it: with tags those that share one (or have all), else those tagged `default`; without
    tags those tagged `default`, else all."""
    default = [each for each in deployments if DEFAULT_TAG in each.tags]
    if not tags:
        return default or deployments
    wanted = set(tags)
    if match_any:
        matching = [each for each in deployments if wanted & set(each.tags)]
    else:
        matching = [each for each in deployments if wanted <= set(each.tags)]
    return matching or default


def wide_enough(deployments: Sequence[Deployment], task: RouteTask) -> Sequence[Deployment]:
    """Those whose context window the prompt fits in; a window nobody named is wide enough."""
    return [
        each
        for each in deployments
        if each.max_input_tokens is None or task.prompt_tokens <= each.max_input_tokens
    ]


def by_order(deployments: Sequence[Deployment]) -> Sequence[Sequence[Deployment]]:
    """Those with the least `order` first; who has none comes last."""
    orders = sorted({_order(each) for each in deployments})
    if len(orders) <= 1:
        return [deployments] if deployments else []
    return [[each for each in deployments if _order(each) == order] for order in orders]


def _order(deployment: Deployment) -> float:
    return float("inf") if deployment.order is None else deployment.order
