"""The meaning of a scenario file: its journey, its steps, and the words that it uses.

What only the script would store is a warning: customers' systems send undeclared events too.
"""

from __future__ import annotations

from collections.abc import Collection

from engine.language.addresses import IDENTIFIERS
from engine.language.diagnostics import Reporter, Severity, listed, nearest
from engine.language.loader import Mapping, Node, Scalar, Sequence, text_of
from engine.language.scalars import is_zone
from engine.language.scenarios import SCRIPT_KINDS
from engine.language.words import Enterable, Lookup, Words

_LISTS = ("tags", "consents", "segments")


def _items(node: Node | None) -> tuple[Node, ...]:
    return node.items if isinstance(node, Sequence) else ()


def _keys(node: Node | None) -> dict[str, Scalar]:
    return node.keys if isinstance(node, Mapping) else {}


def check_scenarios(root: Mapping, words: Words, reporter: Reporter) -> None:
    """Report what is wrong with a scenario file beyond its shape."""
    look = Lookup(words, reporter)
    journey = look.journey(root.get("journey"))
    names: set[str] = set()
    for node in _items(root.get("scenarios")):
        if not isinstance(node, Mapping):
            continue
        name = text_of(node.get("name"))
        if name is not None and name in names:
            reporter.error("J319", node.values["name"].mark, f"scenario `{name[:60]}` is named twice")
        names.add(name or "")
        _Scenario(node, journey, words, look, reporter).check()


class _Scenario:
    def __init__(
        self, node: Mapping, journey: Enterable | None, words: Words, look: Lookup, reporter: Reporter
    ) -> None:
        self.node = node
        self.journey = journey
        self.words = words
        self.look = look
        self.reporter = reporter

    def check(self) -> None:
        self._person(self.node.get("profile"))
        self.look.policy(self.node.get("policy"))
        for entry in _items(self.node.get("script")):
            if isinstance(entry, Mapping):
                self._entry(entry)
        self._stand_ins()
        expect = self.node.get("expect")
        if isinstance(expect, Mapping):
            self._expect(expect)

    def _among(
        self, code: str, node: Node, what: str, known: Collection[str], severity: Severity = "error"
    ) -> str | None:
        name = text_of(node)
        if name is None or name in known:
            return name
        self.reporter.error(
            code,
            node.mark,
            f"unknown {what} `{name[:60]}`",
            expected=f"one of {listed(known)}" if known else None,
            hint=nearest(name, known),
            severity=severity,
        )
        return None

    def _person(self, node: Node | None) -> None:
        for name, key in _keys(node).items():
            assert isinstance(node, Mapping)
            value = node.values[name]
            if name in (*IDENTIFIERS, "locale", "time_zone"):
                self._text(name, value)
            elif name in _LISTS:
                self._list(name, value)
            elif self.words.catalogue.attribute(name) is None:
                known = (*self.words.catalogue.profile, *IDENTIFIERS, *_LISTS, "time_zone", "locale")
                self.reporter.error(
                    "J308",
                    key.mark,
                    f"attribute `{name[:60]}` is not declared",
                    hint=nearest(name, known) or "journeys cannot see it",
                    severity="warning",
                )

    def _text(self, name: str, node: Node) -> None:
        if isinstance(node, Scalar) and node.value is None:
            return
        text = text_of(node)
        number = isinstance(node, Scalar) and isinstance(node.value, int) and not isinstance(node.value, bool)
        if number and name in IDENTIFIERS:
            return
        if text is None:
            hint = f'put it in quotes: `"{node.text[:40]}"`' if isinstance(node, Scalar) else None
            self.reporter.error("J203", node.mark, f"`{name}` is not text", expected="text", hint=hint)
        elif name == "time_zone" and not is_zone(text):
            self.reporter.error("J213", node.mark, f"`{text[:60]}` is not a time zone")

    def _list(self, name: str, node: Node) -> None:
        if not isinstance(node, Sequence):
            self.reporter.error(
                "J203", node.mark, f"`{name}` is not a list", expected="a list such as `[sms]`"
            )
            return
        for item in node.items:
            if name == "tags":
                self._among("J305", item, "tag", self.words.catalogue.tags, "warning")
                if text_of(item) in self.words.catalogue.rules:
                    self.reporter.error(
                        "J326",
                        item.mark,
                        f"`{text_of(item)}` is kept by a rule: it cannot be given",
                        hint="give the customer what the rule asks for",
                    )
            elif name == "segments":
                self._among("J304", item, "segment", tuple(self.words.catalogue.segments))
            else:
                self._consent(item)

    def _consent(self, node: Node) -> None:
        """A channel, perhaps with a purpose behind a colon."""
        channel, colon, purpose = (text_of(node) or "").partition(":")
        known = (*self.words.channel_names(), "marketing")
        if channel not in known:
            self._among("J306", node, "channel", known)
        elif colon and purpose not in self.words.installation.purposes:
            purposes = self.words.installation.purposes
            self.reporter.error(
                "J325",
                node.mark,
                f"unknown purpose `{purpose[:60]}`",
                expected=f"one of {listed(purposes)}" if purposes else "a declared purpose; none is declared",
                hint=nearest(purpose, purposes)
                or "declare it in `kairos.yaml`, under `consent: {purposes: […]}`",
            )

    def _entry(self, entry: Mapping) -> None:
        present = [kind for kind in SCRIPT_KINDS if kind in entry.keys]
        if len(present) != 1:
            self.reporter.error(
                "J210",
                entry.mark if not present else entry.keys[present[1]].mark,
                "an entry of the script needs exactly one thing that happens",
                expected=f"one of {listed(SCRIPT_KINDS)}",
            )
        if "after" in entry.keys and "at" in entry.keys:
            self.reporter.error("J217", entry.keys["at"].mark, "`after` and `at` do not go together")
        self._person(entry.get("identify"))
        for key in _keys(entry.get("consent")).values():
            self._consent(key)
        event = entry.get("event")
        if isinstance(event, Mapping):
            self._event(event)

    def _event(self, event: Mapping) -> None:
        node = event.get("name")
        name = text_of(node)
        if name is None or node is None:
            self.reporter.error(
                "J202", event.mark, "`name` is missing from `event`", expected="the event's name"
            )
            return
        under = event.get("properties")
        if under is not None and not isinstance(under, Mapping):
            self.reporter.error("J203", under.mark, "`properties` is not a mapping", expected="a mapping")
        own = self.words.catalogue.canonical(name)
        found = self.words.catalogue.event(own)
        if found is None:
            known = self.words.catalogue.event_names()
            hint = nearest(name, known) or "it is stored and counted, but no journey can use it"
            self.reporter.warning("J301", node.mark, f"event `{name[:60]}` is not declared", hint=hint)
            return
        given = {key: mark for key, mark in event.keys.items() if key not in ("name", "id", "properties")}
        for key, mark in {**given, **_keys(under)}.items():
            if key not in found.properties:
                self.reporter.warning(
                    "J302",
                    mark.mark,
                    f"`{own}` has no property `{key[:60]}`",
                    hint=nearest(key, found.properties),
                )

    # --- steps ---

    def _step(self, name: str, node: Node | Scalar, verbs: tuple[str, ...] = ()) -> bool:
        if self.journey is None:
            return False
        steps = {step: verb for step, verb in self.journey.steps.items() if not verbs or verb in verbs}
        if name in steps:
            return True
        what = "step" if not verbs else " or ".join(verbs) + " step"
        self.reporter.error(
            "J312",
            node.mark,
            f"the journey has no {what} `{name[:60]}`",
            expected=f"one of {listed(steps)}" if steps else f"no {what} at all",
            hint=nearest(name, steps),
        )
        return False

    def _stand_ins(self) -> None:
        variants = self.node.get("variant")
        for step, key in _keys(variants).items():
            assert isinstance(variants, Mapping)
            if self._step(step, key, ("split",)) and self.journey is not None:
                self._among("J313", variants.values[step], "variant", self.journey.variants.get(step, ()))
        for step, key in _keys(self.node.get("answers")).items():
            self._step(step, key, ("webhook", "action"))
        for node in _items(self.node.get("fails")):
            if (name := text_of(node)) is not None:
                self._step(name, node, ("webhook", "action"))

    def _expect(self, expect: Mapping) -> None:
        for message in _items(expect.get("messages")):
            if not isinstance(message, Mapping):
                continue
            self.look.channel(message.get("channel"))
            template = message.get("template")
            if template is not None:
                self._among("J303", template, "template", tuple(self.words.templates))
            step = text_of(message.get("step"))
            if step is not None:
                self._step(step, message.values["step"], ("message",))
        for node in _items(expect.get("steps")):
            if (name := text_of(node)) is not None:
                self._step(name, node)
        for skip in _items(expect.get("skipped")):
            step = text_of(skip.get("step")) if isinstance(skip, Mapping) else None
            if isinstance(skip, Mapping) and step is not None:
                self._step(step, skip.values["step"], ("message",))
        tags = expect.get("tags")
        for key in ("has", "lacks"):
            for node in _items(tags.get(key)) if isinstance(tags, Mapping) else ():
                self.look.tag(node)
        for name, scalar in _keys(expect.get("attributes")).items():
            if self.words.catalogue.attribute(name) is None:
                known = self.words.catalogue.attribute_names()
                self.reporter.error(
                    "J308", scalar.mark, f"unknown attribute `{name[:60]}`", hint=nearest(name, known)
                )
