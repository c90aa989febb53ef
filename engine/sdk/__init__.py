"""What developers import to add to Kairos: `@action` makes a Python function a step of journeys.

    from engine.sdk import ActionContext, action

    @action(retries=5, timeout=10)
    async def grant_points(context: ActionContext, points: int, note: str = "") -> dict[str, int]:
        ...

An action runs at least once: after a crash it is called again with the same `context.key`, which it should
hand on wherever it changes something. `engine.sdk.testing` runs one as production does.

May import `engine.core` and `engine.language`.
"""

from engine.sdk.action import Action, ActionContext, ActionMistake, Refused, Retries, action
from engine.sdk.discovery import discover

__all__ = ["Action", "ActionContext", "ActionMistake", "Refused", "Retries", "action", "discover"]
