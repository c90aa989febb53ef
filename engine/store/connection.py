"""The two types of SQLAlchemy that other rooms name: what they are handed, and hand on."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

__all__ = ["AsyncConnection", "AsyncEngine"]
