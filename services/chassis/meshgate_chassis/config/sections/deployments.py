"""`model_list`: every entry becomes a Deployment.

Invariant: ids are unique, and every service computes the same ones from the same file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from meshgate_chassis.config.kinds import count
from meshgate_chassis.config.known_model_keys import LITELLM_PARAMS, MODEL_ENTRY, REQUEST_PARAMS
from meshgate_chassis.config.model import Deployment, DeploymentPrice, Secret
from meshgate_chassis.config.node import Node, plain
from meshgate_chassis.config.problems import Problems, nearest
from meshgate_chassis.config.providers import (
    BASE_VARIABLES,
    KEY_VARIABLES,
    KNOWN_PREFIXES,
    VERSION_VARIABLES,
    ProviderModel,
    first_set,
    provider_of,
)
from meshgate_chassis.config.schema import is_empty, kind_of, read_table
from meshgate_chassis.config.sections.deployment_id import computed_id
from meshgate_chassis.config.sections.model_info import ModelInfo, read_model_info
from meshgate_chassis.config.sections.policies import read_deployment_rules
from meshgate_chassis.config.sections.prices import PLAIN, price_of
from meshgate_chassis.config.sections.resilience import stage_timeouts

UNKNOWN_PARAM = "unknown key: it goes to the provider as it is"
NEED_API_BASE = frozenset(
    {"azure", "hosted_vllm", "custom_openai", "openai_like", "litellm_proxy", "lm_studio"}
)


@dataclass(frozen=True, slots=True)
class DeploymentReader:
    """Reads entries of `model_list`. For entries that do not say: `drop_params` (litellm_settings), and
    `default_params` and `parallel_max` (router_settings.default_litellm_params and
    default_max_parallel_requests)."""

    environ: Mapping[str, str]
    problems: Problems
    drop_params: bool
    default_params: Mapping[str, Node] = field(default_factory=dict)
    parallel_max: int | None = None

    def read(self, model_list: Node | None) -> tuple[Deployment, ...]:
        """The deployments, in the order of the file, without the entries that are wrong (reported)."""
        if model_list is None:
            return ()
        found: list[Deployment] = []
        explicit: set[str] = set()
        for entry in model_list.items():
            deployment = self._deployment(entry, explicit)
            if deployment is not None:
                found.append(deployment)
        return with_unique_ids(found, explicit)

    def _deployment(self, entry: Node, explicit_ids: set[str]) -> Deployment | None:
        values = read_table(entry, MODEL_ENTRY, self.problems)
        written = entry.mapping().get("litellm_params")
        node = self._with_defaults(written)
        params = read_table(node, LITELLM_PARAMS, self.problems, UNKNOWN_PARAM)
        info = read_model_info(entry.mapping().get("model_info"), self.problems)
        self._check_complete(entry)
        self._note_id(info, explicit_ids)
        if node is None or "model" not in params or "model_name" not in values:
            return None
        at = self._provider(node.mapping()["model"], params)
        if at is None:
            return None
        mode = info.mode or mode_of(at.upstream_model)
        return Deployment(
            id=info.id or computed_id(written or node),
            model_group=values["model_name"],
            provider=at.provider,
            upstream_model=at.upstream_model,
            api_base=self._api_base(node, at, params),
            api_key=self._api_key(node, at, params),
            request_defaults=request_defaults(node, params),
            extra_headers=extra_headers(params),
            timeout_s=params.get("timeout"),
            stream_timeout_s=params.get("stream_timeout"),
            rpm=params.get("rpm"),
            tpm=params.get("tpm"),
            weight=params.get("weight"),
            price=self._price(entry, {**info.values, **params}, mode),
            drop_params=params.get("drop_params", self.drop_params),
            mode=mode,
            model_info=info.members,
            stages=stage_timeouts(params),
            api_version=params.get("api_version")
            or first_set(VERSION_VARIABLES.get(at.provider, ()), self.environ),
            **read_deployment_rules(node, params, info.values, self.problems),
        )

    def _with_defaults(self, written: Node | None) -> Node | None:
        if written is None or not isinstance(written.value, dict):
            return written
        parallel = {}
        if self.parallel_max is not None:
            parallel = {"max_parallel_requests": replace(written, value=self.parallel_max)}
        members = {**parallel, **self.default_params, **written.value}
        return replace(written, value=members)

    def _check_complete(self, entry: Node) -> None:
        """Reports what no entry can be without. What is there but wrong was reported already."""
        members = entry.mapping()
        if entry.value is None:
            self.problems.error(entry, "is empty")
        if not isinstance(entry.value, dict):
            return
        if is_missing(members.get("model_name")):
            self.problems.error(entry, "has no model_name")
        params = members.get("litellm_params")
        if params is None or params.value is None:
            self.problems.error(entry, "has no litellm_params")
        elif isinstance(params.value, dict) and is_missing(params.value.get("model")):
            self.problems.error(params, "has no model")

    def _note_id(self, info: ModelInfo, explicit_ids: set[str]) -> None:
        if info.id is None or info.id_node is None:
            return
        if info.id in explicit_ids:
            self.problems.error(info.id_node, "another entry has the same id")
        explicit_ids.add(info.id)

    def _price(self, entry: Node, values: Mapping[str, Any], mode: str) -> DeploymentPrice | None:
        """The price, when the configuration gives one."""
        given = [key for key in PLAIN if key in values]
        if len(given) == 1 and mode != "embedding":
            self.problems.warn(entry, f"has {given[0]} alone: the other direction counts as free")
        return price_of(values)

    def _provider(self, model_node: Node, params: Mapping[str, Any]) -> ProviderModel | None:
        """Who serves the model; None (reported) when nothing tells."""
        model = params["model"]
        has_base = "api_base" in params or "base_url" in params
        at = provider_of(model, custom=params.get("custom_llm_provider"), has_api_base=has_base)
        if at is not None:
            return at
        head, slash, _ = model.partition("/")
        self.problems.warn(
            model_node,
            "no provider is known for this model, so the entry is left out: write provider/model",
            nearest(head, KNOWN_PREFIXES) if slash else None,
        )
        return None

    def _api_base(self, node: Node, at: ProviderModel, params: Mapping[str, Any]) -> str | None:
        base: str | None = params.get("api_base") or params.get("base_url")
        base = base or first_set(BASE_VARIABLES.get(at.provider, ()), self.environ)
        written = node.mapping().get("api_base") or node.mapping().get("base_url")
        if base is None and written is not None and is_empty(written):
            self.problems.warn(written, "is empty: calls go to the provider's own address")
        if base is None and at.provider in NEED_API_BASE:
            self.problems.warn(node, f"has no api_base, and {at.provider} has no address of its own")
        return base

    def _api_key(self, node: Node, at: ProviderModel, params: Mapping[str, Any]) -> Secret | None:
        """The entry's key, else the provider's key from the environment.

        The environment's key never goes to an address that the entry names when the entry also names a key
        that is not set, or no provider: it was meant for somebody else.
        """
        key: Secret | None = params.get("api_key")
        own_address = "api_base" in params or "base_url" in params
        if key is None and not at.inferred and not (own_address and "api_key" in node.mapping()):
            value = first_set(KEY_VARIABLES.get(at.provider, ()), self.environ)
            key = Secret(value) if value else None
        return key


def router_defaults(sections: Mapping[str, Node]) -> dict[str, Any]:
    """What router_settings say for all entries, as members of DeploymentReader. What is wrong with them is
    reported with their section."""
    section = sections.get("router_settings")
    members = {} if section is None else section.mapping()
    params = members.get("default_litellm_params")
    values = read_table(section, {"default_max_parallel_requests": count}, Problems())
    return {
        "default_params": {} if params is None else params.mapping(),
        "parallel_max": values.get("default_max_parallel_requests"),
    }


def request_defaults(params_node: Node, params: Mapping[str, Any]) -> dict[str, object]:
    """What goes under every request: OpenAI parameters, extra_body, and members that nobody knows."""
    found: dict[str, object] = {}
    for key, member in params_node.mapping().items():
        if key in REQUEST_PARAMS and key in params:
            found[key] = params[key]
        elif kind_of(key, LITELLM_PARAMS) is None and member.value is not None:
            found[key] = plain(member)
    return found


def extra_headers(params: Mapping[str, Any]) -> dict[str, str]:
    """Headers for the provider."""
    organization = {"OpenAI-Organization": params["organization"]} if "organization" in params else {}
    token = params.get("azure_ad_token")
    login = {"Authorization": f"Bearer {token.value}"} if token else {}
    return {**organization, **login, **params.get("headers", {}), **params.get("extra_headers", {})}


def is_missing(node: Node | None) -> bool:
    """Not there, or there and empty."""
    return node is None or is_empty(node)


def mode_of(upstream_model: str) -> str:
    """The mode when model_info does not say."""
    return "embedding" if "text-embedding" in upstream_model else "chat"


def with_unique_ids(deployments: Sequence[Deployment], explicit: set[str]) -> tuple[Deployment, ...]:
    """Entries that are exact copies get "-2", "-3" ... in the order of the file."""
    taken = set(explicit)
    unique = []
    for deployment in deployments:
        if deployment.id in explicit:
            unique.append(deployment)
            continue
        number, candidate = 1, deployment.id
        while candidate in taken:
            number += 1
            candidate = f"{deployment.id}-{number}"
        taken.add(candidate)
        unique.append(replace(deployment, id=candidate))
    return tuple(unique)
