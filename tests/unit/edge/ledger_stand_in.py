"""A ledger in memory, behind the contract's client: enough for the key endpoints. No money, no holds."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from meshgate_chassis.errors import Code, MeshError
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from meshgate_protos.rpc import Request, Response, StreamCall, StreamMethod, UnaryCall, UnaryMethod


class LedgerStandIn:
    """Implements meshgate_protos.rpc.Channel."""

    def __init__(self) -> None:
        self.keys: dict[str, pb.Key] = {}
        self.down = False

    def unary(self, method: UnaryMethod[Request, Response]) -> UnaryCall[Request, Response]:
        name = method.path.rpartition("/")[2]
        answer: Any = getattr(self, f"_{name}", None)

        async def call(
            request: Any, *, timeout_s: float | None = None, metadata: Mapping[str, str] | None = None
        ) -> Any:
            assert timeout_s is not None, "every call has a deadline"
            if self.down:
                raise MeshError(Code.UNAVAILABLE, "SERVICE_UNREACHABLE", "secret address 10.0.0.1:1")
            return answer(request)

        return call

    def stream(self, method: StreamMethod[Request, Response]) -> StreamCall[Request, Response]:
        def call(
            request: Any, *, timeout_s: float | None = None, metadata: Mapping[str, str] | None = None
        ) -> AsyncGenerator[Any, None]:
            raise NotImplementedError

        return call

    def _CreateKey(self, request: pb.CreateKeyRequest) -> pb.CreateKeyResponse:
        key = pb.Key()
        key.CopyFrom(request.key)
        if any(other.key_alias == key.key_alias != "" for other in self.keys.values()):
            raise MeshError(Code.ALREADY_EXISTS, "KEY_ALIAS_TAKEN", "another key has this alias")
        key.create_time.FromSeconds(1_700_000_000)
        key.effective_limits.CopyFrom(key.limits)
        self.keys[key.key_hash] = key
        return pb.CreateKeyResponse(key=key)

    def _GetKey(self, request: pb.GetKeyRequest) -> pb.GetKeyResponse:
        if request.key_hash not in self.keys:
            raise MeshError(Code.NOT_FOUND, "KEY_UNKNOWN", "no such key")
        return pb.GetKeyResponse(key=self.keys[request.key_hash])

    def _DeleteKeys(self, request: pb.DeleteKeysRequest) -> pb.DeleteKeysResponse:
        by_alias = {key.key_alias: key_hash for key_hash, key in self.keys.items() if key.key_alias}
        aliases = [alias for alias in request.key_aliases if alias in by_alias]
        hashes = [key_hash for key_hash in request.key_hashes if key_hash in self.keys]
        if not aliases and not hashes:
            raise MeshError(Code.NOT_FOUND, "KEY_UNKNOWN", "no such key")
        for key_hash in (*hashes, *(by_alias[alias] for alias in aliases)):
            del self.keys[key_hash]
        return pb.DeleteKeysResponse(deleted_key_hashes=hashes, deleted_key_aliases=aliases)

    def _AuthenticateKey(self, request: pb.AuthenticateKeyRequest) -> pb.AuthenticateKeyResponse:
        principal = request.principal
        if principal.kind == pb.Principal.KIND_VIRTUAL_KEY and principal.key_hash not in self.keys:
            denial = pb.Denial(reason=pb.Denial.REASON_KEY_UNKNOWN, message="the key is not known")
            return pb.AuthenticateKeyResponse(decision=pb.DECISION_DENIED, denial=denial)
        account = pb.Account(tenant_id="master", key_hash=principal.key_hash, spend_usd_nanos=1_500_000_000)
        return pb.AuthenticateKeyResponse(decision=pb.DECISION_GRANTED, account=account)
