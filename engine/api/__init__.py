"""The HTTP side of Kairos: intake of events, the management API, health and metrics.

- `/v1/*` is the Segment HTTP interface, so that existing client libraries work unchanged.
- `/api/v1/*` reads and steers what runs; its errors are problem+json (RFC 9457) everywhere.
- A request costs bounded time and memory, whatever its body; nothing is acknowledged before its commit.
- No personal data and no key in logs or metrics: a log line names the route, never the path or the query.

`engine.web` adds the pages. May import everything below; `fastapi` lives here and in `engine.web` only.
"""

from __future__ import annotations

from engine.api.app import create_app

__all__ = ["create_app"]
