"""Who comes to a page by a link of a message: the address tells the message's code, and the code whose it is.

A `page` call of a visitor whom nobody knows yet is then that customer's, and the visitor's `anonymous_id`
leads to them from then on. A visitor who is known by an `external_id` stays who they are: a link that was
passed on must not make one customer of two.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from engine.ingest.normalise import Incoming
from engine.language.installation import Identities
from engine.store import identities, message_links
from engine.store.identities import Identity

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection

PARAMETER: Final = "krs"
"""The parameter of a landing page's address that holds the code."""
_CODE: Final = re.compile(rf"[?&]{PARAMETER}=([0-9A-Za-z]{{12}})(?![0-9A-Za-z])")


async def visitors(
    connection: AsyncConnection, incoming: Sequence[Incoming], rules: Identities
) -> dict[int, Identity]:
    """For messages (by position) of visitors whom a link's code tells: an identity of that customer."""
    codes = {place: code for place, each in enumerate(incoming) if (code := _code(each)) is not None}
    if not codes:
        return {}
    targets = await message_links.find_batch(connection, codes.values())
    known = {place: targets[code].profile_id for place, code in codes.items() if code in targets}
    live = {place: i for place, i in known.items() if not targets[codes[place]].expired}
    if not live:
        return {}
    asked = {place: ("anonymous_id", incoming[place].anonymous_id or "") for place in live}
    owners = await identities.owners(connection, asked.values())
    theirs = await identities.of_profiles(connection, live.values())
    found = {}
    for place, profile_id in live.items():
        owner = owners.get(asked[place])
        told = [one for one in theirs.get(profile_id, ()) if one[0] != "anonymous_id"]
        if told and (owner is None or owner.external_id is None):
            last = len(rules.ranks)
            found[place] = min(told, key=lambda one: rules.ranks.get(one[0], last))
    return found


def _code(incoming: Incoming) -> str | None:
    if incoming.type != "page" or incoming.anonymous_id is None or incoming.external_id is not None:
        return None
    for name in ("url", "search"):
        value = incoming.properties.get(name)
        if isinstance(value, str) and f"{PARAMETER}=" in value:
            found = _CODE.search(value if "?" in value else f"?{value}")
            return None if found is None else found[1]
    return None
