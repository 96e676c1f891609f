"""LedgerService over the ledger: converts, and decides nothing."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from functools import partial
from typing import TypeVar

from meshgate_chassis.errors import Code, MeshError, invalid_field
from meshgate_ledger import convert
from meshgate_ledger.credential_servicer import add_credentials
from meshgate_ledger.credentials import CredentialBook
from meshgate_ledger.entities import key_convert
from meshgate_ledger.entities.text import text_from
from meshgate_ledger.key_store import KeyStore
from meshgate_ledger.ledger import Ledger
from meshgate_ledger.records import (
    Decision,
    Denial,
    Posting,
    ReserveCommand,
)
from meshgate_ledger.told_prices import ToldPrices
from meshgate_ledger.watch import AccountWatch
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceServicer
from meshgate_protos.rpc import Call

Request = TypeVar("Request")
Command = TypeVar("Command")
Result = TypeVar("Result")

DELETED_KEYS_MAX = 1_000
CLOSES_MAX = 256
RESERVES_MAX = 256


class LedgerServicer(LedgerServiceServicer):
    """Errors and limits as in the contract."""

    def __init__(
        self,
        ledger: Ledger,
        keys: KeyStore,
        watch: AccountWatch,
        credentials: CredentialBook,
        prices: ToldPrices,
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._watch = watch
        self._credentials = credentials
        self._prices = prices

    async def reserve_spend(self, request: pb.ReserveSpendRequest, call: Call) -> pb.ReserveSpendResponse:
        command = convert.reserve_command_from(request)
        return self._answer(command, await self._ledger.reserve(command, call.remaining_s()))

    def _answer(self, command: ReserveCommand, decision: Decision) -> pb.ReserveSpendResponse:
        answer = convert.decision_to(command.principal, decision)
        if answer.HasField("account"):
            add_credentials(answer.account, self._credentials)
            answer.prices.extend(self._prices.of(answer.resolved_model))
        return answer

    async def reserve_spends(self, request: pb.ReserveSpendsRequest, call: Call) -> pb.ReserveSpendsResponse:
        if not 1 <= len(request.items) <= RESERVES_MAX:
            raise invalid_field("items", f"1 to {RESERVES_MAX} items are needed")
        answer = pb.ReserveSpendsResponse()
        reserve = partial(self._ledger.reserve_all, timeout_s=call.remaining_s())
        for command, decision in await _each(convert.reserve_command_from, request.items, reserve):
            if isinstance(command, MeshError):
                answer.results.add(error=convert.reserve_error_to(command))
            elif isinstance(decision, MeshError):
                answer.results.add(error=convert.reserve_error_to(decision))
            else:
                answer.results.add(decided=self._answer(command, decision))
        return answer

    async def settle_spend(self, request: pb.SettleSpendRequest, call: Call) -> pb.SettleSpendResponse:
        command = convert.settle_command_from(request)
        return convert.posting_to(await self._ledger.settle(command, call.remaining_s()))

    async def void_spend(self, request: pb.VoidSpendRequest, call: Call) -> pb.VoidSpendResponse:
        request_id = convert.request_id_from(request.request_id)
        await self._ledger.void(request_id, convert.cut(request.reason), call.remaining_s())
        return pb.VoidSpendResponse()

    async def top_up_spend(self, request: pb.TopUpSpendRequest, call: Call) -> pb.TopUpSpendResponse:
        command = convert.top_up_command_from(request)
        return convert.topped_up_to(await self._ledger.top_up(command, call.remaining_s()))

    async def close_spends(self, request: pb.CloseSpendsRequest, call: Call) -> pb.CloseSpendsResponse:
        if not 1 <= len(request.items) <= CLOSES_MAX:
            raise invalid_field("items", f"1 to {CLOSES_MAX} items are needed")
        answer = pb.CloseSpendsResponse()
        close = partial(self._ledger.close_all, timeout_s=call.remaining_s())
        for _, ended in await _each(convert.close_command_from, request.items, close):
            if isinstance(ended, MeshError):
                answer.results.add(error=convert.close_error_to(ended))
            elif isinstance(ended, Posting):
                answer.results.add(settled=convert.posting_to(ended))
            else:
                answer.results.add(voided=pb.VoidSpendResponse())
        return answer

    async def renew_lease(self, request: pb.RenewLeaseRequest, call: Call) -> pb.RenewLeaseResponse:
        edge_id = convert.edge_id_from(request.edge_id)
        answer = pb.RenewLeaseResponse()
        if request.release:
            await self._ledger.release_lease(edge_id, call.remaining_s())
        else:
            lease_s = await self._ledger.renew_lease(edge_id, call.remaining_s())
            answer.lease_duration.FromMicroseconds(round(lease_s * 1e6))
        return answer

    async def watch_accounts(
        self, request: pb.WatchAccountsRequest, call: Call
    ) -> AsyncGenerator[pb.WatchAccountsResponse, None]:
        async with aclosing(self._watch.follow()) as changes:
            async for changed in changes:
                yield pb.WatchAccountsResponse(account_ids=changed.account_ids, all=changed.everything)

    async def authenticate_key(
        self, request: pb.AuthenticateKeyRequest, call: Call
    ) -> pb.AuthenticateKeyResponse:
        principal = convert.principal_from(request.principal)
        route = text_from("route", request.route)
        state = await self._ledger.authenticate(principal, call.remaining_s(), route)
        if isinstance(state, Denial):
            return pb.AuthenticateKeyResponse(decision=pb.DECISION_DENIED, denial=convert.denial_to(state))
        record, posted_nanos = (None, 0) if state is None else (state.record, state.posted_nanos)
        account = convert.account_to(principal, record, posted_nanos)
        account.user_role = "" if state is None else state.user_role
        add_credentials(account, self._credentials)
        return pb.AuthenticateKeyResponse(decision=pb.DECISION_GRANTED, account=account)

    async def create_key(self, request: pb.CreateKeyRequest, call: Call) -> pb.CreateKeyResponse:
        request_id = convert.request_id_from(request.request_id)
        key = key_convert.key_from(request.key)
        changed_by = text_from("changed_by", request.changed_by)
        state = await self._keys.create(request_id, key, call.remaining_s(), changed_by)
        return pb.CreateKeyResponse(key=key_convert.key_to(state))

    async def get_key(self, request: pb.GetKeyRequest, call: Call) -> pb.GetKeyResponse:
        key_hash = convert.key_hash_from("key_hash", request.key_hash)
        state = await self._keys.get(key_hash, call.remaining_s())
        if state is None:
            raise MeshError(Code.NOT_FOUND, "KEY_UNKNOWN", "there is no such key")
        return pb.GetKeyResponse(key=key_convert.key_to(state))

    async def delete_keys(self, request: pb.DeleteKeysRequest, call: Call) -> pb.DeleteKeysResponse:
        request_id = convert.request_id_from(request.request_id)
        if len(request.key_hashes) + len(request.key_aliases) > DELETED_KEYS_MAX:
            raise invalid_field("key_hashes", f"more than {DELETED_KEYS_MAX} keys")
        changed_by = text_from("changed_by", request.changed_by)
        deleted = await self._keys.delete(
            request_id, request.key_hashes, request.key_aliases, call.remaining_s(), changed_by
        )
        return pb.DeleteKeysResponse(deleted_key_hashes=deleted.hashes, deleted_key_aliases=deleted.aliases)


async def _each(
    convert_from: Callable[[Request], Command],
    requests: Iterable[Request],
    run: Callable[[Sequence[Command]], Awaitable[Sequence[Result | MeshError]]],
) -> list[tuple[Command | MeshError, Result | MeshError]]:
    """Runs all that are right together; of each its command, or what is wrong with it, and its result."""
    commands = [_taken(convert_from, request) for request in requests]
    results = iter(await run([command for command in commands if not isinstance(command, MeshError)]))
    return [(command, command if isinstance(command, MeshError) else next(results)) for command in commands]


def _taken(convert_from: Callable[[Request], Command], request: Request) -> Command | MeshError:
    """The command, or what is wrong with the request."""
    try:
        return convert_from(request)
    except MeshError as error:
        return error
