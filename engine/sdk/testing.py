"""Helpers to test actions: the call goes the way that production's calls go."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from engine.sdk.action import Action, ActionContext
from engine.sdk.invoke import invoke

TEST_CONTEXT = ActionContext(
    key="00000000-0000-5000-8000-000000000000",
    enrolment_id="00000000-0000-5000-8000-000000000001",
    step="test",
    external_id="customer-1",
    at=datetime(2026, 1, 1, tzinfo=UTC),
)


async def run_action(
    action: Action, inputs: Mapping[str, Any] | None = None, context: ActionContext = TEST_CONTEXT
) -> Any:
    """Call `action` once, as a journey with these `with` values would, and return its answer as JSON data.

    Inputs are checked by type, time is bounded, and the answer must be JSON of at most 8 KB.

    Raises:
        Refused: an input or the answer is not acceptable, or the action said so itself.
        Exception: whatever else the action raised; a journey would call it again.
    """
    return await invoke(action, inputs or {}, context)
