"""What changes an answer besides its request: how the prompt is shortened, and which deployments may answer.

Calls of different variants share no answer. Pure.
"""

from dataclasses import dataclass
from typing import Final

from meshgate_chassis.config.model import CompressionConfig, GatewayConfig
from meshgate_edge.cache.early_lookup import Caller
from meshgate_edge.cache.local_flight import Share
from meshgate_edge.call import CompressionOptions
from meshgate_edge.call_run import CallRun
from meshgate_edge.compression.policy import decide

_NOTHING_ASKED: Final = CompressionOptions()
_IN_METADATA: Final = '"compression"'


@dataclass(frozen=True, slots=True)
class Variants:
    """The configured part."""

    compression: CompressionConfig
    tag_filtering: bool

    @classmethod
    def of(cls, config: GatewayConfig) -> "Variants":
        """As a configuration says."""
        return cls(config.compression, config.router.tag_filtering)

    def share(self, run: CallRun, caller: Caller, model: str) -> Share:
        """Of a call; most have no variant. `model`: after the key's aliases."""
        parts = (self._shortened(run, caller.metadata_json, model), self.tagged(run))
        return Share(caller.tenant_id, "\n".join(parts) if any(parts) else "")

    def tagged(self, run: CallRun) -> str:
        """The part that embeddings have as well."""
        tags = run.call.options.tags
        return f"tags={sorted(set(tags))!r}" if tags and self.tag_filtering else ""

    def _shortened(self, run: CallRun, key_metadata_json: str, model: str) -> str:
        asked, config = run.call.options.compression, self.compression
        if not (config.enabled or config.models or asked != _NOTHING_ASKED or key_metadata_json):
            return ""
        policy = decide(asked, key_metadata_json, config, model)
        if not policy.enabled or run.prompt_tokens < policy.min_tokens:
            return ""
        told = policy.policy.SerializeToString(deterministic=True)
        return f"compression={told.hex()} guard={policy.guard}"


def caller_of(run: CallRun) -> Caller:
    """Of a call that was admitted."""
    metadata_json = run.account.metadata_json
    return Caller(run.account.tenant_id, metadata_json if _IN_METADATA in metadata_json else "")
