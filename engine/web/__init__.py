"""Pages for people: kept messages, enrolments with their traces, journeys, previews. Rendered on the server.

Everything shown is escaped; HTML of a message is shown in a frame that can run nothing and reach nothing.
May import everything below `engine.api`, and is mounted by the process beside it.
"""

from __future__ import annotations

from engine.web.pages import add_pages

__all__ = ["add_pages"]
