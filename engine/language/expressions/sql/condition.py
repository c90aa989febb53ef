"""From a tree to the condition on `profiles p` that it is, with the tables that must be joined for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from engine.language.catalogue import BUILT_IN_ATTRIBUTES, PERSONALISE, Catalogue
from engine.language.expressions import tree as t
from engine.language.expressions.closures import MAX_NESTING
from engine.language.expressions.facts import Definitions
from engine.language.expressions.parse import parse
from engine.language.expressions.sql import calculating, comparing, history, moments
from engine.language.expressions.sql.values import (
    Constant,
    Json,
    Many,
    Scalar,
    Value,
    Whole,
    as_text,
    exists,
    holds,
    json_of,
    once,
    scalar,
)
from engine.language.expressions.sql.writer import NotInSql, Way, Writer
from engine.language.lengths import parse_length

_OWN_COLUMNS = ("external_id", "time_zone", "locale")
_ADDRESSES = frozenset(BUILT_IN_ATTRIBUTES) - frozenset(_OWN_COLUMNS)
_GRANTS = "SELECT 1 FROM tag_grants g"


@dataclass(frozen=True, slots=True)
class Setting:
    """What an expression's SQL depends on beside its text: as `load_facts` is told it.

    `time_zone` is the installation's, `consent_rule` its rule for marketing. `address_kinds` are kinds of
    identity beyond the built-in ones: an address of such a kind wins over an attribute of that name.
    """

    catalogue: Catalogue
    time_zone: str = "UTC"
    consent_rule: str = "opt_in"
    address_kinds: frozenset[str] = frozenset()

    @property
    def definitions(self) -> Definitions:
        catalogue = self.catalogue
        return Definitions(
            segments={name: text for name, text in catalogue.segments.items() if text is not None},
            computed={n: a.computed for n, a in catalogue.profile.items() if a.computed is not None},
            stages=tuple((stage.name, stage.where) for stage in catalogue.stages),
            tags=catalogue.rules,
        )


@dataclass(frozen=True, slots=True)
class Condition:
    """Conditions on the rows of `profiles p` after `joins`; null counts as false.

    Merged profiles are not people: whoever uses it asks for `p.merged_into IS NULL`.
    """

    wheres: tuple[str, ...]
    joins: str
    parameters: Mapping[str, Any] = field(repr=False)

    @property
    def where(self) -> str:
        return f"({' AND '.join(self.wheres)})"


def condition(
    tree: t.Tree | tuple[t.Tree, ...], setting: Setting, now: datetime, way: Way = "all", prefix: str = "x"
) -> Condition:
    """The SQL of a condition, or of several that share their joins and parameters.

    Raises:
        NotInSql: it cannot be said in SQL.
    """
    w = Writer(now, prefix)
    trees = tree if isinstance(tree, tuple) else (tree,)
    walker = _Walker(w, setting, setting.definitions)
    wheres = tuple(walker.holds(each) for each in trees)
    joins = " ".join(table.joined(way) for table in w.tables.values())
    w.grown("".join(wheres) + joins)
    return Condition(wheres, joins, w.parameters)


@dataclass(frozen=True, slots=True)
class Column:
    """A value for each row of `profiles p` after `joins`: `text`, `float8`, `boolean`, `date`, `timestamptz`,
    or `jsonb` for lists and objects. Null where it is null in the language."""

    sql: str
    joins: str
    parameters: Mapping[str, Any] = field(repr=False)


def column(tree: t.Tree, setting: Setting, now: datetime, way: Way = "all", prefix: str = "x") -> Column:
    """The SQL of a value that is no list written out.

    Raises:
        NotInSql: it cannot be said in SQL.
    """
    w = Writer(now, prefix)
    sql = scalar(w, _Walker(w, setting, setting.definitions).parsed(tree))
    joins = " ".join(table.joined(way) for table in w.tables.values())
    return Column(w.grown(sql), joins, w.parameters)


def conjuncts(tree: t.Tree) -> tuple[t.Tree, ...]:
    """The parts of which all must hold; one for anything but an `and`."""
    if isinstance(tree, t.Logic) and tree.operator == "and":
        return tuple(part for operand in tree.operands for part in conjuncts(operand))
    return (tree,)


def fixed_part(trees: tuple[t.Tree, ...], setting: Setting, now: datetime, prefix: str = "x") -> Condition:
    """Those of several conditions that need nothing beside the profile."""
    alone = [(tree, condition(tree, setting, now, prefix=prefix)) for tree in trees]
    chosen = tuple(
        tree for tree, found in alone if not found.joins and "SELECT" not in found.where.replace(_GRANTS, "")
    )
    return condition(chosen, setting, now, prefix=prefix) if chosen else Condition(("true",), "", {})


@dataclass(slots=True)
class _Walker:
    w: Writer
    setting: Setting
    definitions: Definitions
    open: tuple[tuple[str, str], ...] = ()

    # --- conditions ---------------------------------------------------------------------------------------

    def holds(self, node: t.Tree) -> str:
        """A condition, true where the node's value is true."""
        match node:
            case t.Not(operand):
                return comparing.negated(self.holds(operand))
            case t.Logic(operator, operands):
                parts = [self.holds(operand) for operand in operands]
                found = comparing.both(parts) if operator == "and" else _or(parts)
            case t.Compare():
                found = self._compare(node)
            case t.Call("has_tag" | "in_segment" | "exists" | "starts_with" | "contains" | "consent"):
                found = self._asked(node)
            case _:
                found = holds(self.value(node))
        return self.w.grown(found)

    def _compare(self, node: t.Compare) -> str:
        values = [self.parsed(node.first), *(self.parsed(right) for _, right in node.rest)]
        signs = [sign for sign, _ in node.rest]

        def build(*bound: Value) -> str:
            pairs = zip(signs, bound, bound[1:], strict=False)
            return comparing.both([self._pair(sign, left, right) for sign, left, right in pairs])

        if len(values) == 2 and signs[0] not in ("in", "not in") and _cheap(values):
            return build(*values)
        return once(self.w, values, build)

    def _pair(self, sign: str, left: Value, right: Value) -> str:
        match sign:
            case "==":
                return comparing.equal(self.w, left, right, self.zone)
            case "!=":
                return comparing.unequal(self.w, left, right, self.zone)
            case "in":
                return comparing.member(self.w, left, right, self.zone)
            case "not in":
                return comparing.no_member(self.w, left, right, self.zone)
        return comparing.ordered(self.w, sign, left, right, self.zone)

    def _asked(self, node: t.Call) -> str:
        w = self.w
        match node.function, node.arguments:
            case "in_segment", (t.Constant(str(name)),):
                if name in self.definitions.segments:
                    return self._inside("segment", name, node.offset).holds(
                        parse(self.definitions.segments[name])
                    )
                return (
                    "EXISTS (SELECT 1 FROM static_segments s WHERE s.profile_id = p.id "
                    f"AND s.segment = {w.bind(name, 'text')})"
                )
            case "has_tag", (t.Constant(str(tag)),):
                if tag in self.definitions.tags:
                    return self._inside("tag", tag, node.offset).holds(parse(self.definitions.tags[tag]))
                name = w.bind(tag, "text")
                return comparing.both([f"p.tags @> ARRAY[{name}]", self._lasts(name)])
            case "has_tag", (argument,):
                text = as_text(w, self.value(argument))
                if text is None:
                    return "false"
                return once(
                    w, [text], lambda one: comparing.both([f"{one.sql} = ANY (p.tags)", self._lasts(one.sql)])
                )
            case "consent", (t.Constant(str(channel)),):
                return history.consent(w, channel, self.setting.consent_rule != "opt_in")
            case "consent", (argument,):
                text = as_text(w, self.value(argument))
                if text is None:
                    return "false"
                silence = self.setting.consent_rule != "opt_in"
                return once(w, [text], lambda one: history.any_consent(w, one.sql, silence))
            case "exists", (argument,):
                return once(w, [self.parsed(argument)], lambda one: exists(w, one))
            case "contains", (whole, part):
                values: list[Value] = [self.parsed(part), self.parsed(whole)]
                return once(w, values, lambda one, two: comparing.member(w, one, two, self.zone))
            case _, (whole, start):
                text, begin = as_text(w, self.value(whole)), as_text(w, self.value(start))
                return "false" if text is None or begin is None else f"starts_with({text.sql}, {begin.sql})"
        raise AssertionError(node.function)

    def _lasts(self, tag: str) -> str:
        """Whether a tag that somebody has is not over: one that has expired goes some moments later."""
        now = self.w.bind(self.w.now, "timestamptz")
        over = f"{_GRANTS} WHERE g.profile_id = p.id AND g.tag = {tag} AND g.expires_at <= {now}"
        return f"(p.tags_expire_at IS NULL OR p.tags_expire_at > {now} OR NOT EXISTS ({over}))"

    # --- values -------------------------------------------------------------------------------------------

    def parsed(self, node: t.Tree) -> Value:
        """A value whose dates are read."""
        return self._parse(self.value(node))

    def _parse(self, value: Value) -> Value:
        if isinstance(value, Many):
            return Many(tuple(self._parse(item) for item in value.items))
        zone = self.setting.time_zone
        return moments.parsed(self.w, value, None if zone == "UTC" else self.w.bind(zone, "text"))

    def value(self, node: t.Tree) -> Value:
        match node:
            case t.Constant(value):
                return None if value is None else Constant(value)
            case t.Items(items):
                return Many(tuple(self.parsed(item) for item in items))
            case t.Now():
                return Scalar("datetime", self.w.bind(self.w.now, "timestamptz"), True)
            case t.Path(root, names):
                return self._path(root, names, node.offset)
            case t.Occurred(which, event, names):
                return history.occurred(self.w, which, event, names, self._types(event))
            case t.Arithmetic():
                return self._arithmetic(node)
            case t.Negate(operand):
                return calculating.calculate(self.w, "-", Constant(0), self.value(operand))
            case t.Call("count", (t.Constant(str(event)), *rest)):
                return history.count(self.w, event, _within(rest))
            case t.Call("total", (t.Constant(str(event)), t.Constant(str(name)), *rest)):
                return history.total(self.w, event, name, self._types(event), _within(rest))
            case t.Call("favourite", (t.Constant(str(event)), t.Constant(str(name)), *rest)):
                return history.favourite(self.w, event, name, self._types(event), _within(rest))
            case t.Call("decayed", (t.Constant(str(event)), *rest)):
                return history.decayed(self.w, event, _within(rest))
            case t.Call("stage"):
                return self._stage(node.offset)
            case t.Call("lower", (argument,)):
                text = as_text(self.w, self.value(argument))
                return None if text is None else Scalar("text", f'lower({text.sql} COLLATE "C")')
            case t.Call("days_since", (argument,)):
                return moments.days_since(self.w, self.parsed(argument), self.zone)
            case t.Call("bucket", (salt, parts)):
                text = as_text(self.w, self.value(salt))
                return None if text is None else calculating.bucket(self.w, text, self.value(parts))
        return Scalar("boolean", f"(({self.holds(node)}) IS TRUE)")

    def _types(self, event: str) -> Mapping[str, str]:
        known = self.setting.catalogue.event(event)
        return {} if known is None else {name: about.type for name, about in known.properties.items()}

    def _arithmetic(self, node: t.Arithmetic) -> Value:
        right = node.right
        if node.operator in ("+", "-") and isinstance(right, t.Constant) and isinstance(right.value, str):
            length = parse_length(right.value)
            left = self.parsed(node.left)
            return None if length is None else moments.moved(self.w, left, length, node.operator)
        return calculating.calculate(self.w, node.operator, self.value(node.left), self.value(node.right))

    def _path(self, root: str, names: tuple[str, ...], offset: int) -> Value:
        if root == "answers":
            return None if names else json_of("CAST('{}' AS jsonb)", "object")
        if root != "profile":
            return None
        if not names:
            return Whole(offset)
        name, deeper = names[0], names[1:]
        if name in self.definitions.computed:
            found = self._inside("computed", name, offset).value(parse(self.definitions.computed[name]))
        else:
            found = self._attribute(name)
        if not deeper:
            return found
        if not isinstance(found, Json) or found.type not in ("any", "object"):
            if isinstance(found, Whole):
                raise NotInSql("the whole profile cannot be compared for everybody at once", offset)
            return None
        for each in deeper:
            found = found.inside(self.w.bind(each, "text"))
        return found

    def _attribute(self, name: str) -> Value:
        if name == PERSONALISE:
            found = f"p.attributes -> {self.w.bind(name, 'text')}"
            return Scalar("boolean", f"(({found}) IS DISTINCT FROM CAST('false' AS jsonb))", True)
        about = self.setting.catalogue.profile.get(name) or BUILT_IN_ATTRIBUTES.get(name)
        if about is not None and about.kept:
            return history.rfm(self.w, name)
        type_ = "any" if about is None else about.type
        if name in _OWN_COLUMNS:
            column = f"to_jsonb(p.{name})"
            return Scalar("text", f"p.{name}", True) if type_ in ("text", "any") else json_of(column, type_)
        key = self.w.bind(name, "text")
        attribute = f"(p.attributes -> {key})"
        if name in _ADDRESSES or name in self.setting.address_kinds:
            return json_of(f"coalesce(p.addresses -> {key}, {attribute})", type_)
        return Json(attribute, f"(p.attributes ->> {key})", type_, True)

    def _stage(self, offset: int) -> Value:
        inner = self._inside("stage", "", offset)
        choices: list[str] = []
        for stage, where in reversed(self.definitions.stages):
            name = self.w.bind(stage, "text")
            if where is None:
                choices.append(f"ELSE {name}")
                break
            choices.append(f"WHEN {inner.holds(parse(where))} THEN {name}")
        if not choices:
            return Scalar("text", "p.stage", True)
        chosen = choices[0].removeprefix("ELSE ") if len(choices) == 1 and "ELSE" in choices[0][:4] else None
        return Scalar("text", f"coalesce(p.stage, {chosen or f'CASE {chr(32).join(choices)} END'})")

    def _inside(self, kind: str, name: str, offset: int) -> _Walker:
        """The walker of a definition.

        Raises:
            NotInSql: it needs itself, or lies too deep; the checker says so too.
        """
        if (kind, name) in self.open or len(self.open) >= MAX_NESTING:
            raise NotInSql(f"the {kind} `{name}` needs itself, or lies too deep", offset)
        return replace(self, open=(*self.open, (kind, name)))

    def zone(self) -> str:
        """The time zone of a profile, as SQL. PostgreSQL would stop at a name that it does not know."""
        own = self.w.bind(self.setting.time_zone, "text")
        known = "p.time_zone IN (SELECT z.name FROM pg_timezone_names z)"
        return f"CASE WHEN {known} THEN p.time_zone ELSE {own} END"


def _or(parts: list[str]) -> str:
    return "true" if "true" in parts else comparing.either(parts)


def _cheap(values: list[Value]) -> bool:
    """Whether a comparison names each of them once."""
    return all(isinstance(value, Constant | Scalar) or value is None for value in values)


def _within(rest: list[t.Tree] | tuple[t.Tree, ...]) -> Any:
    if rest and isinstance(rest[0], t.Constant) and isinstance(rest[0].value, str):
        return parse_length(rest[0].value)
    return None
