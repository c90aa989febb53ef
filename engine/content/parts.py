"""Which parts a channel's template has, and where they lie.

    templates/<message>/[<variant>/][<locale>/]<channel>.<part>.j2
    templates/_layouts/[<locale>/]<name>.<part>.j2      what `{% extends "<name>" %}` means in that part
    templates/_blocks/[<locale>/]<name>.<part>.j2       what `{% include "<name>" %}` means in it
    templates/_files/…                                  what messages attach

`generic` is the variant of customers who are not to be written to personally; all others are named in the
message's `variants.yaml`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from engine.core.locales import canonical

GENERIC = "generic"
LAYOUTS, BLOCKS, FILES = "templates/_layouts/", "templates/_blocks/", "templates/_files/"


@dataclass(frozen=True, slots=True)
class Parts:
    """`either`: one of these is needed at least."""

    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()
    either: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.needed, *self.either, *self.optional)


PARTS: dict[str, Parts] = {
    "email": Parts(("subject",), either=("text", "html")),
    "sms": Parts(("text",)),
    "push": Parts(("title", "body")),
    "wechat": Parts(("json",)),
    "wecom": Parts(("json",)),
    "alipay": Parts(("json",)),
    "webhook": Parts(("json",)),
}
"""By channel. A channel that is not here, such as one of a developer's own, may have any part."""

_MINI_PROGRAM = re.compile(r"mini_?program.*|.*_mini(_?program)?")
_PATH = re.compile(r"templates/([^/_][^/]*)/((?:[^/]+/){0,2})([^/.]+)\.([^/.]+)\.j2")
_SHARED = re.compile(r"templates/_(?:layouts|blocks)/(?:([^/.]+)/)?[\w-]+\.([^/.]+)\.j2")
_BESIDE = re.compile(r"templates/[^/_][^/]*/(variants|attachments)\.yaml")


class Folder(NamedTuple):
    """Where a message's parts lie below its own folder."""

    variant: str | None = None
    locale: str | None = None

    @property
    def label(self) -> str | None:
        """`vip/zh-Hant`; None for the message's own folder."""
        return "/".join(filter(None, self)) or None


OWN = Folder()


class Place(NamedTuple):
    message: str
    folder: Folder
    channel: str
    part: str


def parts_of(channel: str) -> Parts | None:
    """The parts of a channel; None where it may have any."""
    if _MINI_PROGRAM.fullmatch(channel):
        return Parts(("json",))
    return PARTS.get(channel)


def template_path(message: str, channel: str, part: str, folder: Folder | None = None) -> str:
    inside = folder.label if folder is not None else None
    return f"templates/{message}/{f'{inside}/' if inside else ''}{channel}.{part}.j2"


def message_of(path: str) -> str | None:
    """The message below whose folder the file lies; None if that is none's."""
    pieces = path.split("/")
    return pieces[1] if len(pieces) > 2 and pieces[0] == "templates" and pieces[1][:1] not in "_" else None


def part_of(path: str, variants: tuple[str, ...] = ()) -> Place | None:
    """What a template's path says; None if it is none. `variants` are those that its message names."""
    match = _PATH.fullmatch(path)
    if match is None:
        return None
    inside = match[2].split("/")[:-1]
    variant = inside.pop(0) if inside and inside[0] in (GENERIC, *variants) else None
    locale = canonical(inside.pop(0)) if inside else None
    if inside or (locale is None and match[2].count("/") > (variant is not None)):
        return None
    return Place(match[1], Folder(variant, locale), match[3], match[4])


def shared_part(path: str) -> str | None:
    """The part that a layout or block is for; None if its path is none of theirs."""
    match = _SHARED.fullmatch(path)
    return match[2] if match and (match[1] is None or canonical(match[1]) is not None) else None


def is_beside(path: str) -> bool:
    """Whether the file lies beside templates without being one."""
    return path.startswith(FILES) or _BESIDE.fullmatch(path) is not None
