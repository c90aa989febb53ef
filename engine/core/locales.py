"""Locales as content is chosen by them: `zh-Hant-TW` before `zh-Hant` before `zh`."""

from __future__ import annotations

import re
from functools import lru_cache

_LOCALE = re.compile(r"([a-z]{2,3})(?:[-_]([a-z]{4}))?(?:[-_]([a-z]{2}|[0-9]{3}))?", re.IGNORECASE)
_LONG = frozenset(("ast", "ceb", "ckb", "fil", "fur", "hak", "haw", "hsb", "kab", "nan", "nds", "wuu", "yue"))
"""Languages of three letters that a folder may be named after: `vip` and `new` are none."""
_HANT = frozenset({"TW", "HK", "MO"})


def canonical(text: str) -> str | None:
    """The locale as `zh-Hant-TW`, however its letters are written; None if it is none."""
    match = _LOCALE.fullmatch(text)
    if match is None:
        return None
    language, script, region = match[1].lower(), match[2], match[3]
    if len(language) == 3 and language not in _LONG:
        return None
    return "-".join([language, *([script.title()] if script else []), *([region.upper()] if region else [])])


@lru_cache(maxsize=4096)
def fall_back(*locales: str | None) -> tuple[str, ...]:
    """What to look for, in this order: each locale, then without its region, then its language alone.

    Where Chinese does not say its script, the region does: `zh-TW` is looked for as `zh-Hant` before `zh`.
    What is no locale is passed over.
    """
    found: dict[str, None] = {}
    for each in locales:
        name = canonical(each) if each else None
        if name is None:
            continue
        pieces = name.split("-")
        found[name] = None
        if pieces[0] == "zh" and len(pieces) == 2 and len(pieces[1]) == 2:
            script = "Hant" if pieces[1] in _HANT else "Hans"
            found |= {f"zh-{script}-{pieces[1]}": None, f"zh-{script}": None}
        for length in range(len(pieces) - 1, 0, -1):
            found["-".join(pieces[:length])] = None
    return tuple(found)
