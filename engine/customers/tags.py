"""Tags by hand: given and taken away, with who did it and until when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from engine.customers.applied import applied
from engine.customers.profiles import expiry
from engine.language.catalogue import Catalogue
from engine.language.expressions.errors import did_you_mean
from engine.store import profiles
from engine.store.profiles import Change

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection


class TagError(ValueError):
    """The tag is not declared, or nobody may give it. The text says which."""


async def change(
    connection: AsyncConnection,
    profile_id: str,
    at: datetime,
    *,
    give: Sequence[str] = (),
    take: Sequence[str] = (),
    by: str | None = None,
    expires: timedelta | None = None,
) -> None:
    """Gives a customer tags and takes others away.

    Args:
        at: the logical instant.
        expires: how long those given last; as the catalogue says if left out.

    Raises:
        TagError: a tag is not declared, or kept by a rule.
    """
    catalogue = (await applied(connection)).catalogue
    for tag in (*give, *take):
        _check(catalogue, tag)
    until = expiry(catalogue, give, at) if expires is None else dict.fromkeys(give, at + expires)
    change = Change(
        profile_id, add_tags=tuple(give), remove_tags=tuple(take), source=by, tags_at=at, expire=until
    )
    await profiles.change_batch(connection, [change])


def _check(catalogue: Catalogue, tag: str) -> None:
    if tag in catalogue.rules:
        raise TagError(f"`{tag}` is kept by a rule: it cannot be given or taken away")
    if tag not in catalogue.tags:
        hint = did_you_mean(tag, catalogue.tags)
        known = ", ".join(sorted(catalogue.tags)) or "none is declared"
        raise TagError(
            f"there is no tag `{tag[:80]}` in the catalogue that was applied"
            + (f": {hint}" if hint else f"; there are: {known}")
        )
