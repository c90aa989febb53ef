"""`scores` and `rfm` of the catalogue: what is known of customers beyond their attributes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from collections.abc import Mapping as Map
from dataclasses import dataclass, field

from engine.language.loader import Mapping, Node, Scalar, Sequence, text_of

RFM_SCORES: tuple[str, ...] = ("rfm_recency", "rfm_frequency", "rfm_monetary")
RFM_SEGMENT = "rfm_segment"
RFM_ATTRIBUTES: tuple[str, ...] = (*RFM_SCORES, RFM_SEGMENT)


@dataclass(frozen=True, slots=True)
class Score:
    """A number that behaviour adds to and time wears down. `weights`: event to what one of it is worth."""

    half_life: str
    weights: Map[str, int | float] = field(default_factory=dict)

    @property
    def expression(self) -> str:
        """The score as an expression of the language."""
        parts = [
            f"{weight!r} * decayed({json.dumps(event, ensure_ascii=False)}, {json.dumps(self.half_life)})"
            for event, weight in self.weights.items()
        ]
        return _added(parts) if parts else "0"


def _added(parts: list[str]) -> str:
    """A sum that is no deeper than it must be: expressions have a depth."""
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    return f"({_added(parts[:half])} + {_added(parts[half:])})"


@dataclass(frozen=True, slots=True)
class RfmSegment:
    """A named part of the grid. `where` is a condition on the three scores alone."""

    name: str
    where: str
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Rfm:
    """How recently, how often and for how much customers had an event, each as 1 to `quantiles`.

    `segments` in the order of the file: the first that holds.
    """

    event: str
    money: str
    within: str | None = None
    quantiles: int = 5
    segments: tuple[RfmSegment, ...] = ()


def usual_segments(quantiles: int) -> tuple[RfmSegment, ...]:
    """The five of frequency and money: the upper two fifths of the scores are high, the lower two are low."""
    high, middle = 3 * quantiles // 5 + 1, max(2, 2 * quantiles // 5 + 1)
    often, much = f"profile.rfm_frequency >= {high}", f"profile.rfm_monetary >= {high}"
    some = f"profile.rfm_frequency >= {middle} or profile.rfm_monetary >= {middle}"
    return (
        RfmSegment("loyal-fans", f"{often} and {much}", "忠粉"),
        RfmSegment("true-love-fans", much, "真爱粉"),
        RfmSegment("strong-fans", often, "铁粉"),
        RfmSegment("ordinary-fans", some, "普粉"),
        RfmSegment("potential-fans", "true", "潜粉"),
    )


def read_scores(node: Node | None) -> dict[str, Score]:
    """The scores of a node, without what is not well formed."""
    found = {}
    for name, each in _entries(node):
        if isinstance(each, Mapping) and (half_life := text_of(each.get("half_life"))) is not None:
            weights = {event: _number(weight) for event, weight in _entries(each.get("weights"))}
            found[name] = Score(
                half_life, {key: value for key, value in weights.items() if value is not None}
            )
    return found


def read_rfm(node: Node | None) -> Rfm | None:
    """What the node declares; None without an event and its money."""
    if not isinstance(node, Mapping):
        return None
    event, money = text_of(node.get("event")), text_of(node.get("money"))
    if event is None or money is None:
        return None
    quantiles = _number(node.get("quantiles"))
    parts = quantiles if isinstance(quantiles, int) and quantiles >= 2 else 5
    listed = node.get("segments")
    segments = usual_segments(parts) if listed is None else tuple(_segments(listed))
    return Rfm(event, money, text_of(node.get("within")), parts, segments)


def _segments(node: Node) -> Iterator[RfmSegment]:
    for each in node.items if isinstance(node, Sequence) else ():
        if isinstance(each, Mapping):
            name, where = text_of(each.get("name")), text_of(each.get("where"))
            if name is not None:
                yield RfmSegment(name, where or "true", text_of(each.get("title")))


def _entries(node: Node | None) -> Iterator[tuple[str, Node]]:
    if isinstance(node, Mapping):
        yield from node.values.items()


def _number(node: Node | None) -> int | float | None:
    value = node.value if isinstance(node, Scalar) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
