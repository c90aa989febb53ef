"""After a call of which nothing was heard: the provider is asked what became of it, where it can be.

Asked before anybody decides by `on_unknown`, and again before a call is repeated that may have gone through.
A provider may know a little later than it took the message, hence the pauses; all of them together are
shorter than what a call may take, so a row that says `sending` is still in hand.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from channels.errors import Rejected, Unknown
from channels.message import Message
from channels.pacing import Outcome
from channels.port import Adapter
from channels.receipt import Accepted
from channels.routing import provider_of

log = logging.getLogger(__name__)

PAUSES: Final = (1.0, 2.0, 4.0)
"""Seconds before each question."""
LONGEST: Final = 20.0
"""Seconds for one question."""


def can_be_asked(adapter: Adapter | None, provider: str | None = None) -> bool:
    """Where our key is honoured nobody need ask: repeating is safe, and quicker."""
    if adapter is None:
        return False
    capabilities = adapter.capabilities_of(provider)
    return capabilities.can_query and not capabilities.idempotent


async def send_or_ask(
    adapter: Adapter, messages: Sequence[Message], perhaps: Sequence[bool], repeat: Sequence[bool]
) -> list[Outcome]:
    """Hands the messages over; one outcome per message, in order.

    Those that were `perhaps` handed over before are asked after first, and handed over once more if nobody
    knows of them and `repeat` says so.
    """
    askable = {place for place, each in enumerate(messages) if can_be_asked(adapter, provider_of(each))}
    if not askable:
        return list(await adapter.send(messages))
    outcomes: list[Outcome] = [Unknown("perhaps sent before") for _ in messages]
    before = [place for place in sorted(askable) if perhaps[place]]
    await _ask(adapter, messages, outcomes, before)
    found = {place for place in before if not repeat[place] or not isinstance(outcomes[place], Unknown)}
    going = [place for place in range(len(messages)) if place not in found]
    if going:
        answers = await adapter.send([messages[place] for place in going])
        for place, answer in zip(going, answers, strict=True):
            outcomes[place] = answer
        await _ask(adapter, messages, outcomes, [place for place in going if place in askable])
    return outcomes


async def _ask(
    adapter: Adapter, messages: Sequence[Message], outcomes: list[Outcome], places: Sequence[int]
) -> None:
    """Puts what the provider says in the place of what is unknown."""
    for pause in PAUSES:
        asked = [place for place in places if isinstance(outcomes[place], Unknown)]
        if not asked:
            return
        await asyncio.sleep(pause)
        try:
            async with asyncio.timeout(LONGEST):
                answers = await adapter.query([messages[place] for place in asked])
        except Exception as fault:  # the provider is away: asked again, and then nobody knows
            log.warning("%s cannot be asked: %s", adapter.name, type(fault).__name__)
            continue
        for place, answer in zip(asked, answers, strict=True):
            if isinstance(answer, Accepted):
                # Found by our key: receipts that name the message by it find it so.
                outcomes[place] = Accepted(answer.provider_id or messages[place].key, answer.raw)
            elif isinstance(answer, Rejected):
                outcomes[place] = answer
