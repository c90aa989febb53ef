"""JSON Schema (draft 2020-12) for editors, written from the definition of the language.

Editors check the YAML 1.1 or 1.2 reading of a file, so that where text may look like something else (a time,
a date) the schema is a little wider than the checker.
"""

from __future__ import annotations

from typing import Any

from engine.language.schema import JOURNEY
from engine.language.schema_folder import CATALOGUE, INSTALLATION, SCENARIOS
from engine.language.shapes import (
    DEFINITIONS,
    KINDS,
    Anything,
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

FILES: dict[str, Object] = {
    "journey": JOURNEY,
    "catalog": CATALOGUE,
    "kairos": INSTALLATION,
    "scenarios": SCENARIOS,
}
"""What there is a schema for."""


def editor_schema(file: str = "journey") -> dict[str, Any]:
    """The JSON Schema of one kind of file.

    Raises:
        KeyError: there is no such kind; see `FILES`.
    """
    root = _schema(FILES[file])
    used = {name: _schema(shape) for name, shape in DEFINITIONS.items()} if file == "journey" else {}
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Kairos: {FILES[file].doc}",
    }
    return head | root | ({"$defs": used} if used else {})


def _schema(shape: Shape) -> dict[str, Any]:
    match shape:
        case Ref(name):
            return {"$ref": f"#/$defs/{name}"}
        case Text(choices=choices) if choices:
            return {"enum": list(choices)}
        case Text(kind=kind):
            return _text(kind)
        case Number(least, most, whole):
            found: dict[str, Any] = {"type": "integer" if whole else "number"}
            found |= {} if least is None else {"minimum": least}
            return found | ({} if most is None else {"maximum": most})
        case Boolean(only):
            return {"type": "boolean"} if only is None else {"const": only}
        case Null():
            return {"type": "null"}
        case Anything():
            return {}
        case Listing(item, least, most):
            found = {"type": "array", "items": _schema(item)}
            found |= {"minItems": least} if least else {}
            return found | ({} if most is None else {"maxItems": most})
        case Table(value, key, least):
            found = {"type": "object", "additionalProperties": _schema(value)}
            found |= {"minProperties": least} if least else {}
            pattern = KINDS[key].pattern
            return found | ({"propertyNames": {"pattern": pattern}} if pattern else {})
        case Either(shapes):
            return {"anyOf": [_schema(each) for each in shapes]}
        case Object():
            return _object(shape)
        case Choice():
            return {"description": shape.doc, "oneOf": [_object(form) for form in shape.forms.values()]}


def _text(kind: str) -> dict[str, Any]:
    if kind in ("window_time", "time", "moment", "start", "instant"):
        # Editors of YAML 1.1 read `21:00` as a number and a date as a date.
        return {"type": ["string", "integer"]}
    found: dict[str, Any] = {"type": "string"}
    pattern = KINDS[kind].pattern
    return found | ({"pattern": pattern} if pattern else {})


def _object(shape: Object) -> dict[str, Any]:
    needed = [name for name, found in shape.fields.items() if found.needed]
    schema: dict[str, Any] = {
        "type": "object",
        "description": shape.doc,
        "properties": {name: _field(found) for name, found in shape.fields.items()},
        "additionalProperties": False,
    }
    if needed:
        schema["required"] = needed
    if shape.one_of:
        schema["anyOf"] = [{"required": [name]} for name in shape.one_of]
    return schema


def _field(field: Field) -> dict[str, Any]:
    schema = _schema(field.shape)
    doc = field.doc if field.default is None else f"{field.doc} (default: {field.default})"
    return schema | {"description": doc}
