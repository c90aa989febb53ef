"""The rules for the values of subscribe messages, by the letters a field's name begins with.

Source: what developers report of code 47003; the numbers are the provider's and may change.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

RULES: dict[str, re.Pattern[str]] = {
    "thing": re.compile(r".{1,20}"),
    "number": re.compile(r"[+-]?\d+(\.\d+)?(?<!.{33})"),
    "letter": re.compile(r"[A-Za-z]{1,32}"),
    "symbol": re.compile(r"[^\w\s]{1,5}"),
    "character_string": re.compile(r"[\x21-\x7e]{1,32}"),
    "time": re.compile(
        r"(\d{4}年\d{1,2}月\d{1,2}日 ?)?\d{1,2}:\d{2}(:\d{2})?|\d{4}-\d{2}-\d{2} \d{2}:\d{2}(:\d{2})?"
    ),
    "date": re.compile(r"\d{4}(年\d{1,2}月\d{1,2}日|-\d{1,2}-\d{1,2})( ?\d{1,2}:\d{2}(:\d{2})?)?"),
    "amount": re.compile(r"[^\d\s]?\d{1,10}(\.\d{1,2})?元?"),
    "phone_number": re.compile(r"[\d+() -]{1,17}"),
    "car_number": re.compile(r".{1,8}"),
    "name": re.compile(r"[\u4e00-\u9fff·]{1,10}|[A-Za-z .]{1,20}"),
    "phrase": re.compile(r"[\u4e00-\u9fff]{1,5}"),
}
_NAME = re.compile(r"([a-z_]+?)\d+")


def broken(data: Any) -> str | None:
    """The first field that breaks its rule, as `thing1.data`; None if all keep to them."""
    if not isinstance(data, Mapping):
        return "data"
    for name, field in data.items():
        value = field.get("value") if isinstance(field, Mapping) else None
        kind = _NAME.fullmatch(name)
        if not isinstance(value, str) or "\n" in value:
            return f"{name}.data"
        rule = RULES.get(kind[1]) if kind is not None else None
        if rule is not None and not rule.fullmatch(value):
            return f"{name}.data"
    return None
