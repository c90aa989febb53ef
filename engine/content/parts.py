"""Which parts a channel's template has, and where they lie: `templates/<message>/<channel>.<part>.j2`.

Below `templates/<message>/generic/` lies what customers get who are not to be written to personally.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Parts:
    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.needed, *self.optional)


PARTS: dict[str, Parts] = {
    "email": Parts(("subject", "text"), ("html",)),
    "sms": Parts(("text",)),
    "push": Parts(("title", "body")),
    "wechat": Parts(("json",)),
    "wecom": Parts(("json",)),
    "alipay": Parts(("json",)),
    "webhook": Parts(("json",)),
}
"""By channel. A channel that is not here, such as one of a developer's own, may have any part."""

_MINI_PROGRAM = re.compile(r"mini_?program.*|.*_mini(_?program)?")
_PATH = re.compile(r"templates/([^/]+)/(generic/)?([^/.]+)\.([^/.]+)\.j2")


def parts_of(channel: str) -> Parts | None:
    """The parts of a channel; None where it may have any."""
    if _MINI_PROGRAM.fullmatch(channel):
        return Parts(("json",))
    return PARTS.get(channel)


def template_path(message: str, channel: str, part: str, generic: bool = False) -> str:
    return f"templates/{message}/{'generic/' if generic else ''}{channel}.{part}.j2"


def part_of(path: str) -> tuple[str, str, str, bool] | None:
    """(message, channel, part, whether generic) of a template's path; None if it is not one."""
    match = _PATH.fullmatch(path)
    return (match[1], match[3], match[4], match[2] is not None) if match else None
