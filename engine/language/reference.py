"""The tables of `docs/reference/`, written from the definition of the language.

`scripts/reference.py` writes them between their marks; what stands around the marks is written by hand, and
a test compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from engine.language.schema import JOURNEY, STEP, TRIGGER, VERBS, VERBS_LATER
from engine.language.schema_folder import (
    CATALOGUE,
    EXPECT,
    INSTALLATION,
    SCENARIO,
    SCENARIOS,
    SCRIPT_ENTRY,
)
from engine.language.shapes import (
    DEFINITIONS,
    KINDS,
    Boolean,
    Choice,
    Either,
    Field,
    Listing,
    Null,
    Number,
    Object,
    Ref,
    Shape,
    Table,
    Text,
)

BEGIN, END = "<!-- tables: generated -->", "<!-- tables: end -->"


def pages() -> dict[str, str]:
    """File name to the tables that belong between its marks."""
    return {
        "journey.md": "\n\n".join(_journey()),
        "catalogue.md": "\n\n".join(_object("The file", CATALOGUE)),
        "kairos-yaml.md": "\n\n".join(_object("The file", INSTALLATION)),
        "scenarios.md": "\n\n".join(_scenarios()),
    }


def _journey() -> Iterator[str]:
    yield from _object("A journey", JOURNEY, apart=(TRIGGER, DEFINITIONS["steps"]))
    for name, form in TRIGGER.forms.items():
        yield from _object(f"`trigger: {{{name}: …}}`", form, parent="trigger")
    yield "## Steps"
    yield f"{STEP.doc[0].upper()}{STEP.doc[1:]}. Not in this version: {_named(VERBS_LATER)}."
    for verb, (shape, doc) in VERBS.items():
        yield f"### `{verb}`"
        yield f"{doc[0].upper()}{doc[1:]}."
        if isinstance(shape, Choice):
            for name, form in shape.forms.items():
                yield f"**`{verb}: {{{name}: …}}`**: {form.doc}"
                yield _rows(form.fields)
                yield from _inner(form.fields, verb, ())
        else:
            yield from _body(shape, verb)


def _scenarios() -> Iterator[str]:
    yield from _object("A file of scenarios", SCENARIOS, apart=(SCENARIO,))
    yield from _object("A scenario", SCENARIO, apart=(SCRIPT_ENTRY, EXPECT))
    yield from _object("An entry of `script`", SCRIPT_ENTRY)
    yield from _object("`expect`", EXPECT)


def _object(title: str, shape: Object, parent: str = "", apart: tuple[Shape, ...] = ()) -> Iterator[str]:
    yield f"## {title}"
    if shape.doc != title[0].lower() + title[1:]:
        yield f"{shape.doc[0].upper()}{shape.doc[1:]}."
    yield _rows(shape.fields)
    yield from _inner(shape.fields, parent, apart)


def _body(shape: Shape, path: str) -> Iterator[str]:
    """The keys inside a value, wherever in it they are."""
    for found in _objects(shape):
        yield _rows(found.fields)
        yield from _inner(found.fields, path, ())


def _inner(fields: Mapping[str, Field], path: str, apart: tuple[Shape, ...]) -> Iterator[str]:
    """A table for each key whose value has keys of its own."""
    for key, field in fields.items():
        if field.shape in apart:
            continue
        place = f"{path}.{key}" if path else key
        for found in _objects(field.shape):
            if found in apart:
                continue
            yield f"**In `{place}`** ({found.doc}):"
            yield _rows(found.fields)
            yield from _inner(found.fields, place, apart)


def _objects(shape: Shape) -> Iterator[Object]:
    match shape:
        case Object(fields=fields) if fields:
            yield shape
        case Choice(forms=forms):
            yield from forms.values()
        case Listing(item=inner) | Table(value=inner):
            yield from _objects(inner)
        case Either(shapes=shapes):
            for each in shapes:
                yield from _objects(each)


def _rows(fields: Mapping[str, Field]) -> str:
    lines = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for key, field in fields.items():
        default = "needed" if field.needed else _code(field.default)
        lines.append(f"| `{key}` | {_escaped(_value(field.shape))} | {default} | {_escaped(field.doc)} |")
    return "\n".join(lines)


def _code(default: str | None) -> str:
    if default is None:
        return ""
    return f"`{default}`" if re.fullmatch(r"[\w%.-]+", default) else _escaped(default)


def _value(shape: Shape) -> str:
    match shape:
        case Ref():
            return "a list of steps"
        case Text(choices=choices) if choices:
            return ", ".join(f"`{each}`" for each in choices)
        case Text():
            return KINDS[shape.kind].expected
        case Number(least, most, whole):
            kind = "a whole number" if whole else "a number"
            limits = (f" from {least:g}" if least is not None else "") + (
                f" to {most:g}" if most is not None else ""
            )
            return kind + limits
        case Boolean(only):
            return "`true`" if only else "`true` or `false`"
        case Null():
            return "nothing"
        case Listing(item=item):
            return "a list" if list(_objects(item)) else f"a list: {_value(item)}"
        case Table():
            return "a mapping, with names of your own"
        case Either():
            return shape.expected
        case Object():
            return "a mapping"
        case Choice():
            return f"a mapping with one of {_named(shape.forms)}"
    return "any data"


def _named(words: object) -> str:
    assert isinstance(words, tuple | Mapping)
    return ", ".join(f"`{each}`" for each in words)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def filled(page: str, tables: str) -> str:
    """The page with these tables between its marks.

    Raises:
        ValueError: it has no marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}"
