"""`routes` of a channel in `kairos.yaml`: what the shape alone cannot tell."""

from __future__ import annotations

from collections.abc import Iterator

from engine.language.diagnostics import Reporter
from engine.language.loader import Mapping, Node, Scalar, Sequence, text_of


def routes_of(channel: Node) -> Iterator[Mapping]:
    """The routes of a channel, as far as they have the right shape."""
    listed = channel.get("routes") if isinstance(channel, Mapping) else None
    for route in listed.items if isinstance(listed, Sequence) else ():
        if isinstance(route, Mapping):
            yield route


def check_routes(channel: Node, reporter: Reporter) -> None:
    """Either routes or an adapter; names told apart; shares that add up."""
    if not isinstance(channel, Mapping) or "routes" not in channel.keys:
        return
    for key in ("adapter", "settings"):
        if key in channel.keys:
            reporter.error(
                "J341",
                channel.keys[key].mark,
                f"`{key}` has no meaning beside `routes`",
                hint=f"each route has its own `{key}`",
            )
    seen: set[str] = set()
    shares: list[float] = []
    for route in routes_of(channel):
        node = route.get("name") or route.get("adapter")
        name = text_of(node)
        if node is not None and name is not None:
            if name in seen:
                hint = None if "name" in route.keys else "give it a `name` of its own"
                reporter.error("J319", node.mark, f"route `{name[:60]}` is declared twice", hint=hint)
            seen.add(name)
        share = route.get("share")
        if isinstance(share, Scalar) and isinstance(share.value, int | float):
            shares.append(share.value)
    if shares and sum(shares) > 100:
        reporter.error(
            "J342",
            channel.keys["routes"].mark,
            f"the shares add up to {sum(shares):g}",
            expected="100 at most",
        )
