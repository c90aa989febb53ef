"""Who hears providers' calls: an adapter for each channel with a `callback_secret`, as applied now."""

from __future__ import annotations

import hmac
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from channels import Adapter, ConfigurationError
from channels.inbound import Call, Forged, Heard
from channels.settings import fill
from engine.api.hearing import Ear
from engine.language.callback_rules import SHORTEST
from engine.language.installation import Installation
from engine.store.connection import AsyncEngine
from workers.live import Live, build_adapter

log = logging.getLogger("kairos.callbacks")


@dataclass(frozen=True, slots=True)
class _Address:
    digest: bytes = field(repr=False)
    ear: Ear


class AppliedHearing:
    """An `engine.api.hearing.Hearing` on the project that is applied; looked at again when it changes."""

    def __init__(self, database: AsyncEngine, environ: Mapping[str, str] = os.environ) -> None:
        self._database, self._environ = database, environ
        self._live = Live(database)
        self._installation: Installation | None = None
        self._addresses: list[_Address] = []
        self._adapters: list[Adapter] = []

    async def find(self, adapter: str, secret: str) -> Ear | None:
        installation = await self._live.installation()
        if installation is not self._installation:
            await self._build(installation)
        given, found = _digest(adapter, secret), []
        for each in self._addresses:  # all of them, so that none is found faster than another
            if hmac.compare_digest(each.digest, given):
                found.append(each.ear)
        return _one_of(found) if len(found) > 1 else next(iter(found), None)

    async def _build(self, installation: Installation) -> None:
        before, self._adapters = self._adapters, []
        self._installation, self._addresses = installation, []
        for channel, settings in installation.called():
            wrong: list[str] = []
            place = f"kairos.yaml: channels.{channel}"
            filled = fill({"callback_secret": settings.callback_secret}, place, self._environ, wrong)
            secret = str(filled.get("callback_secret") or "")
            if not wrong and len(secret) < SHORTEST:
                wrong.append(f"{place}.callback_secret: expected at least {SHORTEST} characters")
            if wrong:
                log.error("no calls are taken for %s: %s", channel, "; ".join(wrong))
                continue
            hear = None
            try:
                adapter = build_adapter(self._database, channel, settings)
            except ConfigurationError as error:
                log.error("calls for %s are put off: %s", channel, error)
            else:
                self._adapters.append(adapter)
                hear = adapter.hear
            ear = Ear(channel, settings.adapter, hear)
            self._addresses.append(_Address(_digest(settings.adapter, secret), ear))
        await _close(before)

    async def close(self) -> None:
        await _close(self._adapters)
        self._adapters = []


def _digest(adapter: str, secret: str) -> bytes:
    # Digests have one length: neither that of a secret nor that of a name shows in the time.
    return sha256(f"{adapter}\x00{secret}".encode()).digest()


def _one_of(ears: Sequence[Ear]) -> Ear:
    """Routes of one adapter share an address: a call is of the account whose signature it bears."""
    hears = [ear.hear for ear in ears if ear.hear is not None]

    async def hear(call: Call) -> Heard:
        refused = Forged("no account of this channel")
        for each in hears:
            try:
                return await each(call)
            except Forged as forged:
                refused = forged
        raise refused

    return Ear(ears[0].channel, ears[0].adapter, hear if len(hears) == len(ears) else None)


async def _close(adapters: list[Adapter]) -> None:
    for adapter in adapters:
        await adapter.close()
