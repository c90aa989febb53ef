"""Answers to the core's questions, for a batch of enrolments at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine.core.commands import Question, Trace
from engine.delivery.facts import Look, load_facts
from engine.delivery.ports import DeliveryPorts
from engine.delivery.record import store_traces
from engine.delivery.sight import Enrolment, seen
from engine.language.expressions import Facts, evaluate
from engine.language.installation import Installation
from engine.language.types import to_json


@dataclass(frozen=True, slots=True)
class AskOrder:
    """The `Ask` of one enrolment. `event_id` is the event that last moved it; None is its trigger.

    `trace` as in `Order`: lines that are stored with the question.
    """

    enrolment_id: str
    at: datetime
    event_id: str | None
    questions: tuple[Question, ...]
    trace: tuple[Trace, ...] = ()
    trace_from: int = 0


async def answer(
    ports: DeliveryPorts, asks: Sequence[AskOrder], known: Mapping[str, Enrolment] | None = None
) -> list[tuple[Any, ...]]:
    """Answers to each ask's questions, in order: JSON values, instants as ISO text.

    `known` are their enrolments, if the caller has just read them.

    Raises:
        LookupError: there is no such enrolment.
    """
    project = await ports.project()
    async with ports.database.begin() as connection:
        await store_traces(connection, asks)
        found = await seen(connection, {ask.enrolment_id for ask in asks}, known)
        missing = next((ask.enrolment_id for ask in asks if ask.enrolment_id not in found), None)
        if missing is not None:
            raise LookupError(f"the database has no enrolment {missing}")
        plans = {digest: await ports.plan(digest) for digest in {row.digest for row in found.values()}}
        looks = []
        for ask in asks:
            row = found[ask.enrolment_id]
            texts = tuple(question.text for question in ask.questions if question.kind == "expression")
            looks.append(Look(row, plans[row.digest], ask.at, ask.event_id, texts))
        facts = await load_facts(connection, project, looks)
    return [
        tuple(_answer(question, given, project.installation) for question in ask.questions)
        for ask, given in zip(asks, facts, strict=True)
    ]


def _answer(question: Question, facts: Facts, installation: Installation) -> Any:
    if question.kind == "expression":
        return to_json(evaluate(question.text, facts))
    if question.text == "installation":
        return installation.time_zone
    # Facts have the profile's zone already, or the installation's where it has none.
    return getattr(facts.zone, "key", installation.time_zone)
