"""The meaning of one journey beyond its shape: names, trigger, goal, exits, and then step by step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from engine.language import flow
from engine.language.diagnostics import Reporter
from engine.language.expressing import Place, base_scope, check, merged, types_of
from engine.language.extents import certain_in, extents_of
from engine.language.loader import Mapping, Node, Scalar, Sequence, text_of
from engine.language.schema import VERBS
from engine.language.step_rules import StepRules
from engine.language.templating import TemplateUse
from engine.language.variants import check_conditions
from engine.language.words import Enterable, Lookup, Words, segment_event

TRIGGER = "\0trigger"
"""Stands for a manual trigger among the events that can be `event`."""


def enterable(root: Mapping) -> Enterable:
    """What other files need to know of this journey."""
    trigger = root.get("trigger")
    declared = trigger.get("manual") if isinstance(trigger, Mapping) else None
    properties = (
        {name: text_of(node) or "text" for name, node in declared.values.items()}
        if isinstance(declared, Mapping)
        else None
    )
    steps: dict[str, str] = {}
    variants: dict[str, tuple[str, ...]] = {}
    enters: list[tuple[str, Scalar]] = []
    for _, name, verb, spec in flow.every_step(root.get("steps")):
        target = spec.get("journey") if verb == "enter" and isinstance(spec, Mapping) else None
        if isinstance(target, Scalar) and isinstance(target.value, str):
            enters.append((target.value, target))
        if name is None:
            continue
        steps[name] = verb or ""
        listed = spec.get("variants") if verb == "split" and isinstance(spec, Mapping) else None
        if isinstance(listed, Sequence):
            names = (text_of(each.get("name")) for each in listed.items if isinstance(each, Mapping))
            variants[name] = tuple(each for each in names if each is not None)
    return Enterable(declared is not None, properties, steps, variants, tuple(enters))


def _told_by(trigger: Mapping) -> str | None:
    """The event that `trigger` then is: that of the trigger, or the one that it counts from."""
    if "segment" in trigger.keys:
        return segment_event(text_of(trigger.get("change")))
    return text_of(trigger.get("event")) or text_of(trigger.get("since"))


def check_journey(name: str, root: Mapping, words: Words, reporter: Reporter) -> list[TemplateUse]:
    """Report what is wrong with a journey beyond its shape; the templates that it uses, and where."""
    return _Journey(name, root, words, reporter).check()


def anywhere(words: Words) -> Place:
    """Where an expression stands of which nobody knows what starts it."""
    return Place(replace(base_scope(words), trigger={}, event={}), frozenset({"trigger", "event"}))


class _Journey:
    def __init__(self, name: str, root: Mapping, words: Words, reporter: Reporter) -> None:
        self.name = name
        self.root = root
        self.words = words
        self.reporter = reporter
        self.look = Lookup(words, reporter)
        trigger = root.get("trigger")
        self.trigger = trigger if isinstance(trigger, Mapping) else Mapping(root.mark)
        self.by_event = _told_by(self.trigger)
        self.base = Place(base_scope(words))

    def check(self) -> list[TemplateUse]:
        given = self.root.get("journey")
        if isinstance(given, Scalar) and text_of(given) not in (None, "", self.name):
            self.reporter.error(
                "J212",
                given.mark,
                f"the journey is called `{given.text[:60]}` but its file `{self.name}.yaml`",
                expected=f"`{self.name}`",
                hint="rename one of them",
            )
        self._trigger()
        self.look.policy(self.root.get("policy"))
        self.look.purpose(self.root.get("purpose"))
        steps = self.root.get("steps")
        flow.check_ids(steps, self.reporter)
        visits: list[flow.Visit] = []
        flow.walk(steps, flow.Known(frozenset((self.by_event or TRIGGER,))), self.reporter, visits)
        self._ends(steps)
        rules = StepRules(self.words, self.look, self.reporter)
        uses: list[TemplateUse] = []
        for visit in visits:
            rules.check(visit, self.place(visit.known))
            uses += self._uses(visit)
        return uses

    # --- scopes ---

    def _event_types(self, name: str | None) -> dict[str, str] | None:
        """Properties of an event; None if it is unknown."""
        if name == TRIGGER or (name is None and self.by_event is None):
            declared = self.trigger.get("manual")
            if isinstance(declared, Mapping):
                return {key: text_of(node) or "text" for key, node in declared.values.items()}
            return {} if "date" not in self.trigger.keys else {"date": self._dated() or "any"}
        found = self.words.catalogue.event(name) if name is not None else None
        return None if found is None else types_of(found.properties)

    def place(self, known: flow.Known) -> Place:
        """What expressions of a step can name."""
        trigger = self._event_types(self.by_event or TRIGGER)
        scope = replace(self.base.scope, trigger=trigger or {}, answers=known.answers)
        here = Place(scope, frozenset({"trigger"} if trigger is None else ()))
        each = [self._event_types(name) for name in sorted(known.events)]
        if any(types is None for types in each):
            return here.with_event(None)
        return here.with_event(merged(types for types in each if types is not None))

    # --- trigger, goal, exits ---

    def _trigger(self) -> None:
        node = self.trigger
        for key in ("segment", "audience"):
            if key in node.keys:
                self.look.segment(node.get(key))
        if "date" in node.keys:
            self.look.dated(node.get("date"))
        if "since" in node.keys:
            self._early("since")
        if "event" not in node.keys:
            return
        own, early = self._early("event")
        found = check(node.get("one_per"), early, self.reporter)
        one_per = node.get("one_per")
        if found is not None and found[1] in ("list", "object", "null") and one_per is not None:
            self.reporter.error(
                "J506", one_per.mark, f"`one_per` is of type {found[1]}", expected="text, a number or a date"
            )
        unless = node.get("unless")
        settle = node.keys.get("settle")
        if isinstance(unless, Mapping):
            other = self.look.event(unless.get("event"))
            scope = replace(self.base.scope, trigger=own or {})
            place = Place(scope, frozenset({"trigger"} if own is None else ()))
            place = place.with_event(self._event_types(other) if other else None)
            place = place.without("answers", "no step has run yet")
            check(unless.get("where"), place, self.reporter, condition=True)
            if settle is None:
                self.reporter.error(
                    "J409",
                    node.keys["unless"].mark,
                    "`unless` needs `settle`: without it there is nothing to wait for",
                    hint="add `settle: 30m`, or move the condition into `exit_when`",
                )
        elif settle is not None and self._goal_event() not in (None, text_of(node.get("event"))):
            # The trigger's own event as goal starts the settling afresh instead.
            self.reporter.warning(
                "J408",
                settle.mark,
                "with `settle` and a `goal` but no `unless`, who reached the goal meanwhile still enters",
                hint="add `unless` with the goal's event",
            )

    def _goal_event(self) -> str | None:
        goal = self.root.get("goal")
        return text_of(goal.get("event")) if isinstance(goal, Mapping) else None

    def _early(self, key: str) -> tuple[dict[str, str] | None, Place]:
        """Checks the trigger's event and its `where`; its properties, and where expressions stand there."""
        name = self.look.event(self.trigger.get(key))
        own = self._event_types(name) if name is not None else None
        early = self.base.with_event(own)
        why = "it is what the trigger's event becomes; use `event`"
        early = early.without("trigger", why).without("answers", "no step has run yet")
        check(self.trigger.get("where"), early, self.reporter, condition=True)
        return own, early

    def _dated(self) -> str | None:
        """The type of the attribute that a `date` trigger counts from."""
        name = (text_of(self.trigger.get("date")) or "").removeprefix("profile.")
        found = self.words.catalogue.attribute(name)
        return None if found is None else found.type

    def _ends(self, steps: Node | None) -> None:
        saved = frozenset(
            name
            for _, _, _, spec in flow.every_step(steps)
            if isinstance(spec, Mapping) and (name := text_of(spec.get("save_as"))) is not None
        )
        every = flow.Known(frozenset((self.by_event or TRIGGER, *self._awaited(steps))), saved)
        place = self.place(every)
        goal = self.root.get("goal")
        if isinstance(goal, Mapping):
            self._condition(goal, place)
        exits = self.root.get("exit_when")
        for entry in exits.items if isinstance(exits, Sequence) else ():
            if isinstance(entry, Mapping):
                self._condition(entry, place)

    def _condition(self, node: Mapping, place: Place) -> None:
        if "event" in node.keys:
            name = self.look.event(node.get("event"))
            place = place.with_event(self._event_types(name) if name is not None else None)
        check(node.get("where"), place, self.reporter, condition=True)

    @staticmethod
    def _awaited(steps: Node | None) -> Iterable[str]:
        for _, _, verb, spec in flow.every_step(steps):
            if verb != "wait" or not isinstance(spec, Mapping):
                continue
            if (name := text_of(spec.get("for_event"))) is not None:
                yield name
            entries = spec.get("first_of")
            for entry in entries.items if isinstance(entries, Sequence) else ():
                if isinstance(entry, Mapping) and (name := text_of(entry.get("event"))) is not None:
                    yield name

    # --- templates ---

    def _uses(self, visit: flow.Visit) -> Iterable[TemplateUse]:
        if visit.verb not in VERBS or visit.verb != "message" or not isinstance(visit.spec, Mapping):
            return
        place = self.place(visit.known)
        template = text_of(visit.spec.get("template"))
        channels = visit.spec.get("channels")
        if template is not None and template in self.words.variants:
            check_conditions(self.words.variants[template][0], place, self.words.variants[template][1])
        if place.vague or template is None or not isinstance(channels, Sequence):
            return
        own = text_of(visit.spec.get("category")) or text_of(self.root.get("category"))
        catalogue, brand = self.words.catalogue, self.words.installation.brand
        extents = extents_of(catalogue, self.by_event, visit.known.events, brand)
        for node in channels.items:
            channel = text_of(node)
            if channel is not None and channel in self.words.templates.get(template, ()):
                yield TemplateUse(
                    template,
                    channel,
                    place.scope.profile or {},
                    place.scope.trigger,
                    place.scope.event,
                    place.scope.answers or frozenset(),
                    frozenset(self.words.installation.brand),
                    category=own or "marketing",
                    extents=extents,
                    certain=certain_in(catalogue),
                )
