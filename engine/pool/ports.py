"""What the pool is handed."""

from __future__ import annotations

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
    """`work` does sends, effects and answers; `wall` is the wall clock, for tests."""

    work: EffectPorts
    wall: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    @property
    def database(self) -> AsyncEngine:
        return self.work.database

    @property
    def plan(self) -> Callable[[str], Awaitable[Plan]]:
        return self.work.plan
