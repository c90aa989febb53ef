"""Plans by digest, in this process. Workflow code reads it; it is passed through the sandbox.

Content-addressed, so reading it is deterministic. A plan that is not here yet fails the workflow *task*,
which Temporal repeats, and is asked for: a background task of the worker fetches what is missing.
"""

from __future__ import annotations

import threading

from engine.core.plan import Plan


class PlanMissing(RuntimeError):
    """The plan of this digest has not been loaded by this worker yet."""


class Registry:
    def __init__(self) -> None:
        self._plans: dict[str, Plan] = {}
        self._wanted: set[str] = set()
        self._lock = threading.Lock()

    def plan(self, digest: str) -> Plan:
        """The plan of that digest.

        Raises:
            PlanMissing: it is not here; it is noted as wanted.
        """
        found = self._plans.get(digest)
        if found is None:
            with self._lock:
                self._wanted.add(digest)
            raise PlanMissing(f"plan {digest[:12]} is not loaded by this worker yet")
        return found

    def add(self, digest: str, plan: Plan) -> None:
        self._plans[digest] = plan
        with self._lock:
            self._wanted.discard(digest)

    def known(self) -> frozenset[str]:
        return frozenset(self._plans)

    def wanted(self) -> frozenset[str]:
        with self._lock:
            return frozenset(self._wanted)


PLANS = Registry()
