"""What is live at once, made of its texts."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from channels.message import Attachment
from engine.content import TemplateSet
from engine.delivery.ports import LiveProject
from engine.language.attachments import Attached, content_of, read_attachments
from engine.language.catalogue import Catalogue, read_catalogue
from engine.language.installation import Installation, read_installation
from engine.language.loader import load
from engine.language.variants import names_of, read_variants
from engine.store import project
from engine.store.project import StoredProject

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection


def live_project(
    templates: Mapping[str, str], catalogue: Catalogue, installation: Installation
) -> LiveProject:
    """The project with these templates, path to text."""
    variants = read_variants(templates)
    found = TemplateSet(templates, installation.locale, names_of(variants))
    listed = read_attachments(templates)
    attachments = {message: tuple(_attachments(templates, each)) for message, each in listed.items()}
    return LiveProject(found, catalogue, installation, variants, attachments)


def _attachments(templates: Mapping[str, str], listed: Iterable[Attached]) -> Iterator[Attachment]:
    for each in listed:
        content = content_of(templates, each)
        if content is not None:
            kind = mimetypes.guess_type(each.file)[0] or "application/octet-stream"
            yield Attachment(each.name, kind, content, each.file if each.inline else None)


def of_stored(stored: StoredProject) -> LiveProject:
    """The project as it was applied."""
    catalogue = read_catalogue(load("journeys/catalog.yaml", stored.catalogue)[0])
    installation = read_installation(load("kairos.yaml", stored.installation)[0])
    return live_project(stored.templates, catalogue, installation)


async def applied_project(connection: AsyncConnection) -> LiveProject | None:
    """The project as it was last applied; None before the first apply."""
    stored = await project.load(connection)
    return None if stored is None else of_stored(stored)
