"""What the pool is handed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from engine.core.plan import Plan
from engine.effects.ports import EffectPorts

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine


@dataclass(slots=True, kw_only=True)
class PoolPorts:
    """`work` does sends, effects and answers; `wall` is the wall clock, for tests.

    Large batches take turns at `gate`: what many of them do at once is not done sooner, and makes the few
    rows of another journey wait at every step.
    """

    work: EffectPorts
    wall: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))

    @property
    def database(self) -> AsyncEngine:
        return self.work.database

    @property
    def plan(self) -> Callable[[str], Awaitable[Plan]]:
        return self.work.plan
