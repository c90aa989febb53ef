"""Access tokens in the database: one for each app of a provider, whichever process fetched it."""

from __future__ import annotations

from channels import Kept
from engine.store import tokens
from engine.store.connection import AsyncEngine
from engine.store.tokens import StoredToken


class DatabaseTokens:
    """A `channels.TokenStore` that all processes share."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def get(self, name: str) -> Kept | None:
        async with self._database.connect() as connection:
            found = await tokens.get(connection, name)
        if found is None:
            return None
        return Kept(found.version, found.value, found.ends_at, found.fetching_until)

    async def put(self, name: str, kept: Kept) -> bool:
        token = StoredToken(kept.version, kept.value, kept.ends_at, kept.fetching_until)
        async with self._database.begin() as connection:
            return await tokens.put(connection, name, token)
