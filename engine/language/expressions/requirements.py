"""What an expression needs to know, so that facts are loaded a batch at a time, and no more than needed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from engine.language.expressions import fading
from engine.language.expressions.facts import NOTHING_DEFINED, Definitions
from engine.language.expressions.parse import parse
from engine.language.expressions.tree import Call, Constant, Occurred, Path, Tree, walk
from engine.language.lengths import parse_length

Place = tuple[str, str]
"""("segment" | "computed" | "tag", name), or ("stage", "") for all the rules of the stage."""


@dataclass(slots=True)
class Requirements:
    """What to load. `history`: event name to how far back from `now`, None for all of it.

    `segments` are those with static membership only; `tags`, `stage`, `consents` say whether they are asked
    for at all; `roots` names those of `event trigger profile answers` that occur.
    """

    history: dict[str, timedelta | None] = field(default_factory=dict)
    segments: set[str] = field(default_factory=set)
    tags: bool = False
    stage: bool = False
    consents: bool = False
    roots: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    """Those of the profile that are named."""

    def _event(self, name: str, within: timedelta | None) -> None:
        known = self.history.get(name, timedelta(0))
        self.history[name] = None if within is None or known is None else max(within, known)


def requirements(texts: str | Iterable[str], definitions: Definitions = NOTHING_DEFINED) -> Requirements:
    """What one or several expressions need together, through the definitions they use."""
    return _followed(texts, definitions)[0]


def places_used(texts: str | Iterable[str], definitions: Definitions) -> tuple[Place, ...]:
    """The definitions that one or several expressions use, also through one another, in order."""
    return tuple(sorted(_followed(texts, definitions)[1]))


def _followed(texts: str | Iterable[str], definitions: Definitions) -> tuple[Requirements, set[Place]]:
    needs = Requirements()
    waiting = [texts] if isinstance(texts, str) else list(texts)
    seen: set[Place] = set()
    while waiting:
        for place in add_needs(waiting.pop(), needs, definitions):
            if place not in seen:
                seen.add(place)
                waiting.extend(texts_of(place, definitions))
    return needs, seen


def _length(node: Tree) -> timedelta | None:
    return parse_length(node.value) if isinstance(node, Constant) and isinstance(node.value, str) else None


def texts_of(place: Place, definitions: Definitions) -> list[str]:
    kind, name = place
    if kind == "segment":
        return [definitions.segments[name]]
    if kind == "tag":
        return [definitions.tags[name]]
    if kind == "computed":
        return [definitions.computed[name]]
    return [where for _, where in definitions.stages if where is not None]


def add_needs(text: str, needs: Requirements, definitions: Definitions) -> set[Place]:
    """Adds what `text` itself needs; the definitions it uses are given back."""
    uses: set[Place] = set()
    for node in walk(parse(text)):
        match node:
            case Path(root, names):
                needs.roots.add(root)
                if root == "profile":
                    needs.attributes.update(names[:1])
                if root == "profile" and names and names[0] in definitions.computed:
                    uses.add(("computed", names[0]))
            case Occurred(_, event, _):
                needs._event(event, None)
            case Call("count" | "total", (Constant(str(event)), *rest)):
                last = rest[-1] if rest else None
                # The last argument of `total` without a length is its property.
                within = last.value if isinstance(last, Constant) else None
                given = len(rest) == (1 if node.function == "count" else 2)
                needs._event(event, parse_length(str(within)) if given else None)
            case Call("favourite", (Constant(str(event)), _, *rest)):
                needs._event(event, _length(rest[0]) if rest else None)
            case Call("decayed", (Constant(str(event)), half_life)):
                needs._event(event, fading.reach(_length(half_life)))
            case Call("in_segment", (Constant(str(name)),)):
                if name in definitions.segments:
                    uses.add(("segment", name))
                else:
                    needs.segments.add(name)
            case Call("has_tag", (Constant(str(name)),)) if name in definitions.tags:
                uses.add(("tag", name))
            case Call("has_tag"):
                needs.tags = True
            case Call("stage"):
                needs.stage = True
                uses.add(("stage", ""))
            case Call("consent"):
                needs.consents = True
    return uses
