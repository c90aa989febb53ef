"""Management API: the whole life of one message."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Request

from engine.api import shapes
from engine.api.problems import Problem
from engine.api.secured import reading
from engine.api.services import services
from engine.delivery.life import life
from engine.store import enrolments, lives

router = reading("messages")


@router.get("/messages/{message_id:path}", summary="Get a message with its whole life")
async def get_message(
    request: Request,
    message_id: Annotated[str, Path(description="ENROLMENT/STEP, or the id that the provider gave it.")],
) -> shapes.MessageInFull:
    """Why a message was sent, put off or skipped, and what was heard of it."""
    async with services(request).database.connect() as connection:
        row = await lives.find(connection, message_id)
        if row is None:
            raise Problem(404, "no-such-message", f"there is no message {message_id}")
        enrolment = (await enrolments.get_batch(connection, [row.enrolment_id])).get(row.enrolment_id)
        told = await lives.told(connection, row)
    ended = None
    if enrolment is not None and enrolment.ended_at is not None:
        ended = enrolment.ended_at, enrolment.exit or "ended"
    return shapes.MessageInFull(
        **shapes.Delivery.model_validate(row).model_dump(),
        handed_at=row.handed_at,
        units=row.units,
        quota=row.quota,
        why=row.why or [],
        life=[shapes.MessageMoment.model_validate(moment) for moment in life(row, told, ended)],
    )
