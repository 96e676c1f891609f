"""What ends a hold: settlements with their charges worked out. Pure but for the price lookup."""

from collections.abc import Callable, Sequence
from datetime import datetime

from meshgate_ledger.closings import CloseItem, CloseRow
from meshgate_ledger.price import Cost, Price, TokenCounts, consistent, cost_of
from meshgate_ledger.records import Leg, Outcome, SettleCommand

# Deployment, provider, upstream model, time -> the price of a call; None: unknown.
PriceOfCall = Callable[[str, str, str, datetime], Price | None]


def settlement(command: SettleCommand, price_of_call: PriceOfCall, now: datetime) -> CloseItem:
    """The rows that post a settlement. A call that was answered from the cache used nothing."""
    at = command.start_time or now
    tokens = consistent(command.tokens)
    is_used = command.outcome is not Outcome.CACHE_HIT and _is_any(tokens)
    price = (
        price_of_call(
            command.deployment_id, command.provider, command.upstream_model or command.model_group, at
        )
        if is_used
        else None
    )
    cost = cost_of(price, tokens) if price is not None else Cost()
    unpriced = is_used and price is None  # it costs 0, and nobody should take that for exact
    main = CloseRow(
        request_id=command.request_id,
        kind="charge",
        input_nanos=cost.input,
        cached_input_nanos=cost.cached_input,
        cache_creation_nanos=cost.cache_creation,
        output_nanos=cost.output,
        reasoning_nanos=cost.reasoning,
        price=_price_note(price, tokens),
        is_unpriced=unpriced,
        saved_nanos=command.saved_nanos,
        estimated=command.estimated or unpriced,
        offline=command.offline,
        prompt_tokens=tokens.prompt,
        completion_tokens=tokens.completion,
        cached_tokens=tokens.cached,
        cache_creation_tokens=tokens.cache_creation,
        reasoning_tokens=tokens.reasoning,
        uncompressed_prompt_tokens=command.uncompressed_prompt_tokens,
        used_tokens=tokens.prompt + tokens.completion if is_used else 0,
        outcome=command.outcome,
        error_reason=command.error_reason,
        model_group=command.model_group,
        deployment_id=command.deployment_id,
        provider=command.provider,
        upstream_model=command.upstream_model,
        cache_key=command.cache_key,
        call_type=command.call_type,
        api_base=command.api_base,
        response_id=command.response_id,
        requester_ip_address=command.requester_ip_address,
        start_time=command.start_time,
        end_time=command.end_time,
        first_token_time=command.first_token_time,
    )
    if not command.legs:
        return CloseItem(main)
    return CloseItem(main, _legs(command, price_of_call, at))


def void(request_id: str, reason: str) -> CloseItem:
    """Ends a hold that no provider call followed."""
    return CloseItem(CloseRow(request_id=request_id, kind="void", outcome="void", error_reason=reason))


def cost_of_legs(legs: Sequence[Leg], price_of_call: PriceOfCall, at: datetime) -> tuple[int, int]:
    """What further provider calls cost, and the tokens that they used; without a price nothing."""
    nanos = used = 0
    for leg in legs:
        tokens = consistent(leg.tokens)
        price = price_of_call(leg.deployment_id, leg.provider, leg.upstream_model, at)
        nanos += cost_of(price, tokens).total if price is not None else 0
        used += tokens.prompt + tokens.completion
    return nanos, used


def _legs(command: SettleCommand, price_of_call: PriceOfCall, at: datetime) -> tuple[CloseRow, ...]:
    rows = []
    for number, leg in enumerate(command.legs, 1):
        tokens = consistent(leg.tokens)
        price = None
        if _is_any(tokens):
            price = price_of_call(leg.deployment_id, leg.provider, leg.upstream_model, at)
        cost = cost_of(price, tokens) if price is not None else Cost()
        unpriced = _is_any(tokens) and price is None
        rows.append(
            CloseRow(
                request_id=command.request_id,
                kind="charge",
                leg=number,
                leg_reason=leg.reason,
                input_nanos=cost.input,
                cached_input_nanos=cost.cached_input,
                cache_creation_nanos=cost.cache_creation,
                output_nanos=cost.output,
                reasoning_nanos=cost.reasoning,
                price=_price_note(price, tokens),
                is_unpriced=unpriced,
                estimated=leg.estimated or unpriced,
                offline=command.offline,
                prompt_tokens=tokens.prompt,
                completion_tokens=tokens.completion,
                cached_tokens=tokens.cached,
                cache_creation_tokens=tokens.cache_creation,
                reasoning_tokens=tokens.reasoning,
                used_tokens=tokens.prompt + tokens.completion,
                outcome=command.outcome,
                model_group=leg.model_group or command.model_group,
                deployment_id=leg.deployment_id,
                provider=leg.provider,
                upstream_model=leg.upstream_model,
                call_type=command.call_type,
                requester_ip_address=command.requester_ip_address,
                start_time=command.start_time,
                end_time=command.end_time,
            )
        )
    return tuple(rows)


def _price_note(price: Price | None, tokens: TokenCounts) -> str | None:
    """The price as the entry records it; with the audio tokens, which have no column of their own, when they
    were charged apart."""
    if price is None:
        return None
    rates = price.rates_for(tokens.prompt)
    heard = tokens.audio_prompt if rates.audio_input is not None else 0
    spoken = tokens.audio_completion if rates.audio_output is not None else 0
    return price.as_json_with_audio(heard, spoken) if heard or spoken else price.as_json


def _is_any(tokens: TokenCounts) -> bool:
    return tokens.prompt > 0 or tokens.completion > 0
