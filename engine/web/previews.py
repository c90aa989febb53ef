"""The preview of a message: as a customer would get it, or with each declared name for its value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from engine.api.problems import Problem
from engine.content.shown import NotThere, Preview, Wanted, folders_in_words, shown
from engine.customers.applied import identity_rules
from engine.customers.lookup import find, of_any_kind
from engine.delivery.live_project import applied_project
from engine.delivery.ports import LiveProject
from engine.delivery.previewing import sample_of, seen_by
from engine.simulator.content_rules import rules_of
from engine.store import clock, profiles
from engine.web.views import indented

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection

WIDTHS: Final = {"desktop": 720, "phone": 375}
"""Pixels that the HTML has."""


@dataclass(frozen=True, slots=True)
class PreviewPage:
    """`note` says whose preview it is; `mistake` why there is none. `labels`: its variants and locales."""

    message: str
    channels: tuple[str, ...]
    channel: str
    variants: tuple[str, ...]
    labels: list[str]
    note: str
    preview: Preview | None = field(default=None, repr=False)
    mistake: str | None = None


async def messages_of(connection: AsyncConnection) -> list[tuple[str, tuple[str, ...]]]:
    """All messages that were applied, each with its channels."""
    project = await applied_project(connection)
    if project is None:
        return []
    return [(name, project.templates.channels(name)) for name in project.templates.messages()]


async def preview_page(
    connection: AsyncConnection, message: str, wanted: Wanted, customer: str
) -> PreviewPage:
    """The message on one channel, the first that it has if none is wanted.

    Raises:
        Problem: no such message.
    """
    project = await applied_project(connection)
    if project is None or message not in project.templates.messages():
        raise Problem(404, "not-found", f"there is no message {message[:80]}")
    templates = project.templates
    channels = templates.channels(message)
    channel = wanted.channel if wanted.channel in channels else next(iter(channels), "")
    folders = [folder for each in channels for folder in templates.folders(message, each)]
    labels = sorted(set(folders_in_words(folders)))
    variants = (*templates.variants.get(message, ()), *(["generic"] if "generic" in labels else []))
    note, found, mistake = "each declared name stands for its value", None, None
    try:
        context = sample_of(project, (await clock.load(connection)).now())
        held: tuple[str, ...] = ()
        if customer:
            context, held, note = await _customer(connection, project, message, customer)
        asked = Wanted(channel, wanted.locale or None, wanted.variant or None)
        rules = {channel: rules_of(project.installation, channel)[0]}
        found = shown(templates, message, context, held, asked, rules)[0]
        if "json" in found.parts:
            found.parts["json"] = indented(found.parts["json"])
    except NotThere as error:
        mistake = str(error)
    return PreviewPage(message, channels, channel, variants, labels, note, found, mistake)


async def _customer(
    connection: AsyncConnection, project: LiveProject, message: str, customer: str
) -> tuple[Mapping[str, Any], tuple[str, ...], str]:
    ids = await find(connection, of_any_kind(customer, await identity_rules(connection)))
    people = sorted({person.id for person in (await profiles.surviving(connection, ids)).values()})
    if len(people) != 1:
        raise NotThere("this leads to nobody" if not people else "this leads to more than one customer")
    at = (await clock.load(connection)).now()
    (seen,) = await seen_by(connection, project, people, message, at)
    return seen.context, seen.variants, seen.note
