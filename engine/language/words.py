"""The words of a project, looked up with a diagnostic where one is unknown."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping as Map
from dataclasses import dataclass, field

from engine.core.locales import canonical
from engine.language.actions import ActionSignature
from engine.language.catalogue import Catalogue
from engine.language.diagnostics import Reporter, listed, nearest
from engine.language.installation import Installation
from engine.language.loader import Mapping, Node, Scalar, Sequence, text_of
from engine.language.schema import CHANNELS


@dataclass(frozen=True, slots=True)
class Enterable:
    """What other files need to know of a journey."""

    manual: bool
    properties: dict[str, str] | None
    """Declared by `manual: {…}`; None takes anything."""
    steps: dict[str, str] = field(default_factory=dict)
    """Step id to verb."""
    variants: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Id of a split to the names of its variants."""
    enters: tuple[tuple[str, Scalar], ...] = ()
    """Journeys that its steps enter, with their places."""


@dataclass(frozen=True, slots=True)
class Words:
    catalogue: Catalogue
    installation: Installation
    templates: dict[str, frozenset[str]]
    """Template to the channels that it has a part for."""
    journeys: dict[str, Enterable]
    actions: Map[str, ActionSignature]
    variants: Map[str, tuple[Node | None, Reporter]] = field(default_factory=dict)
    """Message to its `variants.yaml`."""

    def channel_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*CHANNELS, *self.installation.channels)))


def segment_event(change: str | None) -> str:
    """The event that says that somebody enters or leaves a segment."""
    return "segment.left" if change == "leaves" else "segment.entered"


def template_channels(paths: Collection[str]) -> dict[str, frozenset[str]]:
    """Template name to channels, from paths such as `templates/cart-reminder/sms.text.j2`; variants do not
    count."""
    found: dict[str, set[str]] = {}
    for path in paths:
        pieces = path.split("/")
        if pieces[0] != "templates" or not path.endswith(".j2") or pieces[1].startswith("_"):
            continue
        if len(pieces) == 3 or (len(pieces) == 4 and canonical(pieces[2]) is not None):
            channel, dot, _ = pieces[-1].partition(".")
            if dot:
                found.setdefault(pieces[1], set()).add(channel)
    return {name: frozenset(channels) for name, channels in found.items()}


@dataclass(frozen=True, slots=True)
class Lookup:
    """Checks references of one file."""

    words: Words
    reporter: Reporter

    def event(self, node: Node | None) -> str | None:
        """The event's name if it is declared."""
        name = text_of(node)
        if name is None or not isinstance(node, Scalar) or not name.strip():
            return None
        if self.words.catalogue.event(name) is not None:
            return name
        own = self.words.catalogue.canonical(name)
        hint = f"`{name}` is another name of `{own}`: use that" if own != name else None
        self._unknown("J301", node, "event", name, self.words.catalogue.event_names(), hint)
        return None

    def segment(self, node: Node | None) -> str | None:
        return self._among("J304", node, "segment", self.words.catalogue.segments)

    def tag(self, node: Node) -> str | None:
        return self._among("J305", node, "tag", self.words.catalogue.tags)

    def tag_by_hand(self, node: Node) -> None:
        """A tag that somebody gives or takes away."""
        name = self.tag(node)
        if name in self.words.catalogue.rules:
            self.reporter.error(
                "J326",
                node.mark,
                f"`{name}` is kept by a rule: it cannot be given or taken away",
                hint="change what its rule asks for",
            )

    def stage(self, node: Node | None) -> None:
        self._among("J311", node, "stage", [stage.name for stage in self.words.catalogue.stages])

    def channel(self, node: Node | None) -> str | None:
        return self._among("J306", node, "channel", self.words.channel_names())

    def policy(self, node: Node | None) -> None:
        self._among("J310", node, "policy", self.words.installation.policies)

    def audience(self, node: Node | None) -> str | None:
        return self._among("J340", node, "audience", self.words.installation.audiences)

    def purpose(self, node: Node | None) -> str | None:
        return self._among("J325", node, "purpose", self.words.installation.purposes)

    def dated(self, node: Node | None) -> str | None:
        """The type of an attribute that a trigger counts from, `profile.NAME`; None if it has no date."""
        text = text_of(node)
        root, _, name = (text or "").partition(".")
        if not isinstance(node, Scalar) or root != "profile" or not name.isidentifier():
            return None
        catalogue = self.words.catalogue
        found = catalogue.attribute(name)
        if found is None:
            self._unknown("J308", node, "attribute", name, catalogue.attribute_names())
        elif found.type in ("date", "datetime"):
            return found.type
        else:
            self.reporter.error(
                "J506",
                node.mark,
                f"`profile.{name}` is of type {found.type}",
                expected="an attribute of type date or datetime",
            )
        return None

    def journey(self, node: Node | None) -> Enterable | None:
        name = self._among("J307", node, "journey", self.words.journeys)
        return self.words.journeys[name] if name is not None else None

    def message(self, spec: Node | None) -> None:
        """A message's template and channels, and whether the one has content for the others."""
        if not isinstance(spec, Mapping):
            return
        self.purpose(spec.get("purpose"))
        template = self._among("J303", spec.get("template"), "template", self.words.templates)
        channels = spec.get("channels")
        seen: set[str] = set()
        for node in channels.items if isinstance(channels, Sequence) else ():
            channel = self.channel(node)
            if channel is None:
                continue
            if channel in seen:
                self.reporter.error("J319", node.mark, f"channel `{channel}` is listed twice")
            seen.add(channel)
            if template is not None and channel not in self.words.templates[template]:
                self.reporter.error(
                    "J314",
                    node.mark,
                    f"template `{template}` has nothing for channel `{channel}`",
                    expected=f"one of {listed(sorted(self.words.templates[template]))}",
                    hint=f"add a file `templates/{template}/{channel}.….j2`",
                )

    def _among(self, code: str, node: Node | None, what: str, known: Collection[str]) -> str | None:
        name = text_of(node)
        if name is None or not isinstance(node, Scalar) or not name.strip():
            return None
        if name in known:
            return name
        self._unknown(code, node, what, name, known)
        return None

    def _unknown(
        self, code: str, node: Scalar, what: str, name: str, known: Collection[str], hint: str | None = None
    ) -> None:
        self.reporter.error(
            code,
            node.mark,
            f"unknown {what} `{name[:60]}`",
            expected=f"one of {listed(known)}" if known else f"a declared {what}; none is declared",
            hint=hint or nearest(name, known) or _where(code),
        )


def _where(code: str) -> str | None:
    match code:
        case "J301" | "J304" | "J305" | "J308" | "J311":
            return "declare it in `journeys/catalog.yaml`"
        case "J303":
            return "a template is a folder under `templates/`"
        case "J325":
            return "declare it in `kairos.yaml`, under `consent: {purposes: […]}`"
        case "J340":
            return "declare it in `kairos.yaml`, under `audiences`"
        case "J306" | "J310":
            return "declare it in `kairos.yaml`"
    return None
