"""What each verb asks for beyond its shape."""

from __future__ import annotations

import re
from collections.abc import Mapping as Map

from engine.language import flow
from engine.language.actions import ActionSignature
from engine.language.addresses import IDENTIFIERS
from engine.language.diagnostics import Reporter, listed, nearest
from engine.language.expressing import Place, check, check_value, constant, fits
from engine.language.expressions import Tree, normal
from engine.language.expressions.tree import Constant
from engine.language.loader import Mapping, Node, Scalar, Sequence, text_of
from engine.language.scalars import read_date, read_instant, read_time
from engine.language.words import Lookup, Words

_FIXED_MOMENT = re.compile(r"[0-9]{1,2}:|[0-9]{4}-[0-9]{2}")


def _items(node: Node | None) -> tuple[Node, ...]:
    return node.items if isinstance(node, Sequence) else ()


class StepRules:
    """Checks steps of one journey, each in its place."""

    def __init__(self, words: Words, look: Lookup, reporter: Reporter) -> None:
        self.words = words
        self.look = look
        self.reporter = reporter

    def check(self, visit: flow.Visit, place: Place) -> None:
        if visit.verb == "branch":
            self._branch(visit.spec, place)
        spec = visit.spec
        if not isinstance(spec, Mapping):
            return
        match visit.verb:
            case "wait":
                self._wait(spec, place)
            case "message":
                self.look.message(spec)
            case "split":
                flow.check_split(spec, self.reporter)
            case "update":
                self._update(spec, place)
            case "webhook":
                self._values(spec.get("body"), place)
            case "ad_audience":
                self.look.audience(spec.get("add_to") or spec.get("remove_from"))
            case "enter":
                self._enter(spec, place)
            case "action":
                self._action(spec, place)

    # --- waits ---

    def _wait(self, spec: Mapping, place: Place) -> None:
        if "until" in spec.keys:
            self._until(spec, place)
        ends = [text_of(item) for item in _items(spec.get("between"))]
        if len(ends) == 2 and ends[0] is not None and ends[0] == ends[1]:
            node = spec.values["between"]
            self.reporter.error(
                "J217", node.mark, f"the window opens and closes at {ends[0]}", hint="leave the wait out"
            )
        if "for_event" in spec.keys:
            self._awaited(spec, "for_event", place, [])
        earlier: list[tuple[str, str | None]] = []
        for entry in _items(spec.get("first_of")):
            if isinstance(entry, Mapping):
                self._awaited(entry, "event", place, earlier)
        event_wait = "for_event" in spec.keys or "first_of" in spec.keys
        if event_wait and "otherwise" in spec.keys and "up_to" not in spec.keys:
            self.reporter.error(
                "J405",
                spec.keys["otherwise"].mark,
                "`otherwise` is never taken: the wait has no time limit",
                hint="add `up_to: 1d`",
            )

    def _until(self, spec: Mapping, place: Place) -> None:
        node = spec.get("until")
        text = text_of(node)
        if text is None:
            return
        time = read_time(text) is not None
        wrong = "offset" if time else "days"
        if wrong in spec.keys:
            what = "a time of day" if time else "a date or instant"
            self.reporter.error(
                "J217", spec.keys[wrong].mark, f"`{wrong}` has no meaning beside {what} in `until`"
            )
        if time or read_date(text) is not None or read_instant(text) is not None or _FIXED_MOMENT.match(text):
            return
        found = check(node, place, self.reporter)
        if found is not None and found[1] not in ("date", "datetime", "any") and isinstance(node, Scalar):
            self.reporter.error(
                "J506",
                node.mark,
                f"`until` is of type {found[1]}",
                expected="a date, an instant, or a time such as `10:00`",
            )

    def _awaited(self, entry: Mapping, key: str, place: Place, earlier: list[tuple[str, str | None]]) -> None:
        """One event of a wait. `earlier` collects (event, condition) of the arms before it."""
        name = self.look.event(entry.get(key))
        found = self.words.catalogue.event(name) if name is not None else None
        types = None if found is None else {each: kind.type for each, kind in found.properties.items()}
        where = entry.get("where")
        checked = check(where, place.with_event(types), self.reporter, condition=True)
        written = text_of(entry.get(key))
        if written is None:
            return
        at = entry.keys[key].mark
        condition = normal(checked[0]) if checked is not None else None
        always = constant(checked[0]) if checked is not None else None
        if always is False and where is not None:
            self._never(where, "its condition is always false")
        for other, other_condition in earlier:
            if other == written and other_condition in (None, condition):
                self.reporter.error(
                    "J405",
                    at,
                    f"this arm is never taken: an earlier one takes every such `{written}`",
                    hint="put the arm with the narrower `where` first",
                )
                break
        unconditional = "where" not in entry.keys or always is True
        if unconditional or condition is not None:
            earlier.append((written, None if unconditional else condition))

    def _never(self, node: Node, why: str) -> None:
        self.reporter.error("J405", node.mark, f"this arm is never taken: {why}", hint="delete it")

    # --- branch ---

    def _branch(self, spec: Node, place: Place) -> None:
        cases = [case for case in _items(spec) if isinstance(case, Mapping)]
        seen: set[str] = set()
        settled = False
        for number, case in enumerate(cases):
            where = case.get("where")
            if "otherwise" in case.keys and number + 1 < len(cases):
                self.reporter.error(
                    "J410",
                    case.keys["otherwise"].mark,
                    "`otherwise` must be the last of a branch",
                    hint="move it to the end",
                )
            if settled:
                self.reporter.error(
                    "J405",
                    case.mark,
                    "this arm is never taken: an earlier one always holds",
                    hint="delete it",
                )
            checked = check(where, place, self.reporter, condition=True)
            if checked is None or where is None:
                continue
            always = constant(checked[0])
            text = normal(checked[0])
            if always is False:
                self._never(where, "its condition is always false")
            elif text in seen:
                self._never(where, "an earlier one has the same condition")
            seen.add(text)
            settled = settled or always is True

    # --- effects ---

    def _values(self, table: Node | None, place: Place) -> dict[str, tuple[Scalar, Tree, str]]:
        """Check the entries of `set`, `with` or `body`; those that are well formed with their type."""
        found: dict[str, tuple[Scalar, Tree, str]] = {}
        for name, node in table.values.items() if isinstance(table, Mapping) else ():
            value = check_value(node, place, self.reporter)
            if value is not None and isinstance(node, Scalar):
                found[name] = (node, *value)
        return found

    def _type(self, name: str, value: tuple[Scalar, Tree, str], wanted: str) -> None:
        node, tree, kind = value
        if not fits(tree, kind, wanted):
            hint = None
            if wanted == "text" and isinstance(tree, Constant):
                hint = f"text is written with quotes inside quotes: `\"'{node.text[:40]}'\"`"
            self.reporter.error(
                "J506",
                node.mark,
                f"`{name}` is of type {wanted}, the value is {kind}",
                expected=wanted,
                hint=hint,
            )

    def _update(self, spec: Mapping, place: Place) -> None:
        table = spec.get("set")
        values = self._values(table, place)
        for name, key in table.keys.items() if isinstance(table, Mapping) else ():
            attribute = self.words.catalogue.attribute(name)
            known = [each for each in self.words.catalogue.attribute_names() if each not in IDENTIFIERS]
            if attribute is None:
                self.reporter.error(
                    "J308",
                    key.mark,
                    f"unknown attribute `{name[:60]}`",
                    expected=f"one of {listed(known)}",
                    hint=nearest(name, known) or "declare it under `profile` in `journeys/catalog.yaml`",
                )
            elif attribute.derived:
                self.reporter.error(
                    "J317",
                    key.mark,
                    f"`{name}` is computed and cannot be set",
                    hint="Kairos keeps it by itself" if attribute.kept else "set what it is computed from",
                )
            elif name in values:
                self._type(name, values[name], attribute.type)
                _, tree, kind = values[name]
                allowed = attribute.one_of
                if isinstance(tree, Constant) and allowed and kind != "null" and tree.value not in allowed:
                    self.reporter.error(
                        "J209",
                        values[name][0].mark,
                        f"`{name}` cannot be {tree.value!r}",
                        expected=listed(str(each) for each in allowed),
                        hint=nearest(str(tree.value), (str(each) for each in allowed)),
                    )
        for key_name in ("add_tags", "remove_tags"):
            for node in _items(spec.get(key_name)):
                self.look.tag_by_hand(node)
        self.look.stage(spec.get("stage"))

    def _enter(self, spec: Mapping, place: Place) -> None:
        values = self._values(spec.get("with"), place)
        target = self.look.journey(spec.get("journey"))
        node = spec.get("journey")
        if target is None or node is None:
            return
        if not target.manual:
            self.reporter.error(
                "J318",
                node.mark,
                f"`{text_of(node)}` cannot be entered by a step: its trigger is not `manual`",
                expected="a journey with trigger `manual`",
            )
            return
        if target.properties is not None:
            self._inputs("J302", "property", spec.get("with"), values, target.properties)

    def _action(self, spec: Mapping, place: Place) -> None:
        values = self._values(spec.get("with"), place)
        node = spec.get("name")
        name = text_of(node)
        if name is None or node is None:
            return
        action: ActionSignature | None = self.words.actions.get(name)
        if action is None:
            known = sorted(self.words.actions)
            self.reporter.error(
                "J309",
                node.mark,
                f"unknown action `{name[:60]}`",
                expected=f"one of {listed(known)}" if known else "a registered action; none is registered",
                hint=nearest(name, known) or "actions are Python functions with `@action`",
            )
            return
        wanted = {each: kind for each, (kind, _) in action.inputs.items()}
        self._inputs("J316", "input", spec.get("with"), values, wanted)
        for each, (_, needed) in action.inputs.items():
            table = spec.get("with")
            if needed and not (isinstance(table, Mapping) and each in table.keys):
                self.reporter.error(
                    "J316",
                    node.mark,
                    f"action `{name}` needs the input `{each}`",
                    expected=f"`with: {{{each}: …}}`",
                )

    def _inputs(
        self,
        code: str,
        what: str,
        table: Node | None,
        values: Map[str, tuple[Scalar, Tree, str]],
        wanted: Map[str, str],
    ) -> None:
        for name, key in table.keys.items() if isinstance(table, Mapping) else ():
            if name not in wanted:
                self.reporter.error(
                    code,
                    key.mark,
                    f"unknown {what} `{name[:60]}`",
                    expected=f"one of {listed(wanted)}" if wanted else f"no {what} at all",
                    hint=nearest(name, wanted),
                )
            elif name in values:
                self._type(name, values[name], wanted[name])
