"""What was applied, as customers need it: the catalogue and the installation, kept between transactions."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from engine.language.catalogue import Catalogue, read_catalogue
from engine.language.installation import Identities, Installation, read_installation
from engine.language.loader import load
from engine.store import project

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection

CATALOGUE = "journeys/catalog.yaml"


@dataclass(frozen=True, slots=True)
class Applied:
    """`text` is the catalogue's YAML. Defaults before the first apply."""

    text: str = field(default="", repr=False)
    catalogue: Catalogue = field(default_factory=Catalogue)
    installation: Installation = field(default_factory=Installation)


async def applied(connection: AsyncConnection) -> Applied:
    """What is applied now."""
    digest = await project.load_digest(connection)
    if digest is None:
        return Applied()
    texts = _texts.get(digest)
    if texts is None:
        stored = await project.load(connection)
        texts = (stored.catalogue, stored.installation) if stored is not None else ("", "")
        _texts.clear()  # only the newest counts
        _texts[digest] = texts
    return _parsed(*texts)


async def identity_rules(connection: AsyncConnection) -> Identities:
    """The rules of identity that are applied now."""
    return (await applied(connection)).installation.identities


_texts: dict[str, tuple[str, str]] = {}
"""Digest of a project to the texts of its catalogue and installation: digests name their content, so this
never goes stale."""


@lru_cache(maxsize=16)
def catalogue_of(text: str) -> Catalogue:
    """The catalogue of its YAML."""
    return read_catalogue(load(CATALOGUE, text)[0])


@lru_cache(maxsize=4)
def _parsed(catalogue: str, installation: str) -> Applied:
    return Applied(
        catalogue, catalogue_of(catalogue), read_installation(load("kairos.yaml", installation)[0])
    )
