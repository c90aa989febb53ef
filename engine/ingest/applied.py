"""What of the applied project intake needs, kept between transactions: catalogue and rules of identity."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from engine.language.catalogue import Catalogue, read_catalogue
from engine.language.installation import Identities, read_installation
from engine.language.loader import load
from engine.store import project

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection


async def words(connection: AsyncConnection) -> tuple[Catalogue, Identities]:
    """The catalogue and the rules that are applied now; defaults before the first apply."""
    digest = await project.load_digest(connection)
    if digest is None:
        return Catalogue(), Identities()
    texts = _texts.get(digest)
    if texts is None:
        stored = await project.load(connection)
        texts = (stored.catalogue, stored.installation) if stored is not None else ("", "")
        _texts.clear()  # only the newest counts
        _texts[digest] = texts
    return _parsed(*texts)


async def identity_rules(connection: AsyncConnection) -> Identities:
    """The rules of identity that are applied now."""
    return (await words(connection))[1]


_texts: dict[str, tuple[str, str]] = {}
"""Digest of a project to the texts of its catalogue and installation: digests name their content, so this
never goes stale."""


@lru_cache(maxsize=4)
def _parsed(catalogue: str, installation: str) -> tuple[Catalogue, Identities]:
    return (
        read_catalogue(load("journeys/catalog.yaml", catalogue)[0]),
        read_installation(load("kairos.yaml", installation)[0]).identities,
    )
