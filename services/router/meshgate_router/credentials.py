"""Tenants' own provider credentials: opened here, for one call, and nowhere else.

Invariants: a tenant with a credential for a provider never calls it with the gateway's; one that cannot be
opened fails the call, before anything is sent. What a provider says about a tenant's key is not held against
the deployment, which others use with another one.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from meshgate_chassis.config.model import Deployment, Secret
from meshgate_chassis.errors import MeshError
from meshgate_chassis.sealing import KEY_SETTING, Sealer, credential_context, unreadable
from meshgate_protos.router.v1 import router_service_pb2 as pb
from meshgate_router.providers.base import ErrorKind, ProviderError

CREDENTIALS_MAX: Final = 64
MASK: Final = "***"
# What a provider refuses because of whose key it is, and not because of how the deployment is.
OF_THE_KEY: Final = frozenset({ErrorKind.AUTHENTICATION_FAILED, ErrorKind.RATE_LIMITED})


@dataclass(frozen=True, slots=True)
class OwnCredentials:
    """Of one request. `sealer` None: this router has no key."""

    sealed: Mapping[str, pb.ProviderCredential]
    sealer: Sealer | None

    @contextmanager
    def used_for(self, deployment: Deployment) -> Iterator[Deployment]:
        """The deployment as this tenant calls it. Raises ProviderError for a credential that cannot be
        opened; masks the secret in what the provider says."""
        credential = self.sealed.get(deployment.provider)
        if credential is None:
            yield deployment
            return
        own = _opened(credential, self.sealer, deployment)
        try:
            yield own
        except ProviderError as error:
            error.own_credential = error.kind in OF_THE_KEY
            if own.api_key is not None:
                error.message = error.message.replace(own.api_key.value, MASK)
            raise


NONE: Final = OwnCredentials({}, None)


def own_credentials(credentials: Sequence[pb.ProviderCredential], sealer: Sealer | None) -> OwnCredentials:
    """What a request brought along."""
    if not credentials:
        return NONE
    return OwnCredentials({each.provider: each for each in credentials[:CREDENTIALS_MAX]}, sealer)


def _opened(credential: pb.ProviderCredential, sealer: Sealer | None, deployment: Deployment) -> Deployment:
    try:
        if sealer is None:
            raise unreadable(f"the router has no {KEY_SETTING}")
        context = credential_context(credential.credential_id, credential.provider)
        values = json.loads(sealer.open(credential.sealed, context))
    except (MeshError, ValueError) as error:
        name = credential.credential_id
        message = f"the provider credential {name!r} of this tenant cannot be opened: {error}"
        raise ProviderError(
            ErrorKind.AUTHENTICATION_FAILED, message, 500, sent=False, own_credential=True
        ) from None
    return replace(
        deployment,
        api_key=Secret(values["api_key"]),
        api_base=values.get("api_base") or deployment.api_base,
    )
