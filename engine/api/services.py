"""What request handlers work with, one set an app."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import Request

from engine.api.access import KeyRing
from engine.api.hearing import Hearing
from engine.api.metrics import Metrics
from engine.ingest.gathering import Gathering
from engine.ingest.intake import Accepted, Came, Rejected

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine


@dataclass(frozen=True, slots=True)
class Services:
    """`temporal_ui` is the address of Temporal's web interface, if one is known.

    `open_pages`: the pages need no key. Only for a server that nobody else can reach.
    """

    database: AsyncEngine
    keys: KeyRing
    metrics: Metrics
    gathering: Gathering[Came, Accepted | Rejected]
    temporal_ui: str | None = None
    open_pages: bool = False
    hearing: Hearing | None = None
    """Reads calls of providers; without it none are taken."""


def services(request: Request) -> Services:
    """The services of the app that this request came to."""
    found: Services = request.app.state.services
    return found
