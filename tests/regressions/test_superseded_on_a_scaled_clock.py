"""Found by the generated journeys of `tests/integration/parity`, seed 1.

The router tells an enrolment at once that it is superseded, while on a scaled clock its timers fire the grace
later: what was due before its end was never done.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from engine.core.inputs import Control
from engine.temporal.client import connect
from tests.replay.cases import WAITING, Hands, Recorded
from tests.replay.record import START, run_case


@pytest.mark.integration
@pytest.mark.parametrize(("after", "exit"), [(10, "completed"), (2, "superseded")])
async def test_what_was_due_before_the_end_is_done_first(
    temporal_address: str, after: int, exit: str
) -> None:
    async def supersede(hands: Hands) -> None:
        await hands.control(Control("end", START + timedelta(seconds=after), "superseded"))

    case = Recorded("superseded-later", WAITING, exit, supersede, speed=2)
    ended, _ = await run_case(await connect(temporal_address), case)
    assert ended == exit
