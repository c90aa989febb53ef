"""A project's templates: found by message and channel, chosen, rendered."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from engine.content.assemble import Assembly, assemble
from engine.content.errors import RenderError
from engine.content.made import ENVIRONMENTS, Made, kind_of, make, make_text
from engine.content.parts import FILES, GENERIC, OWN, Folder, part_of, template_path
from engine.core.locales import fall_back

KEPT: Final = {"locale": "text"}
"""What of a profile the generic variant sees, and its type."""


@dataclass(slots=True)
class Rendered:
    """`parts` by name (`subject`, `text`, …). `digest` names the sources they were rendered from, `variant`
    the folder below the message's own, `vip/zh-Hant`."""

    parts: dict[str, str]
    digest: str
    variant: str | None = None


class TemplateSet:
    """All templates of a project.

    Args:
        files: paths (`templates/<message>/<channel>.<part>.j2` and so on) to text. What is no template's is
            left alone.
        locale: the installation's.
        variants: message to the names of its variants, in their order.
    """

    def __init__(
        self,
        files: Mapping[str, str],
        locale: str | None = None,
        variants: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.files = dict(files)
        self.locale = locale
        self.variants = {message: tuple(names) for message, names in (variants or {}).items()}
        self._found: dict[tuple[str, str], dict[Folder, dict[str, str]]] = {}
        for path in sorted(self.files):
            place = self.place(path)
            if place is not None:
                folders = self._found.setdefault((place.message, place.channel), {})
                folders.setdefault(place.folder, {})[place.part] = path
        self._assembled: dict[str, Assembly] = {}
        self._made: dict[tuple[str, str, Folder], dict[str, Made]] = {}
        self._digests: dict[tuple[str, str, Folder], str] = {}
        self._texts: dict[str, str] = {}

    def place(self, path: str) -> Any:
        """The place that a template's path says; None if it is none's."""
        message = path.split("/")[1] if path.startswith("templates/") else ""
        return part_of(path, self.variants.get(message, ()))

    def messages(self) -> tuple[str, ...]:
        """Names of all messages, sorted."""
        return tuple(sorted({message for message, _ in self._found}))

    def channels(self, message: str) -> tuple[str, ...]:
        """Channels for which `message` has any part beside variants, sorted."""
        return tuple(
            sorted(
                channel
                for (name, channel), folders in self._found.items()
                if name == message and any(folder.variant is None for folder in folders)
            )
        )

    def folders(self, message: str, channel: str) -> tuple[Folder, ...]:
        """Where the message has parts for the channel: its own folder, locales, variants."""
        return tuple(self._found.get((message, channel), ()))

    def parts(self, message: str, channel: str, folder: Folder = OWN) -> dict[str, str]:
        """The parts that are there, sorted, to their paths."""
        return dict(sorted(self._found.get((message, channel), {}).get(folder, {}).items()))

    def text_of(self, message: str) -> str:
        """All sources of a message, with layouts and blocks: what it may name stands in it."""
        known = self._texts.get(message)
        if known is None:
            paths = {
                each
                for (name, _), folders in self._found.items()
                if name == message
                for parts in folders.values()
                for path in parts.values()
                for each in self.assembly(path).paths
            }
            known = "\n".join(self.files[path] for path in sorted(paths))
            self._texts[message] = known
        return known

    def assembly(self, path: str) -> Assembly:
        """A template with its layout and blocks put in."""
        known = self._assembled.get(path)
        if known is None:
            place = self.place(path)
            environment = ENVIRONMENTS[kind_of(place.part)]
            locales = fall_back(place.folder.locale, self.locale)
            known = assemble(environment, self.files, path, place.part, locales)
            self._assembled[path] = known
        return known

    def chosen(
        self, message: str, channel: str, locale: str | None = None, variants: Iterable[str] = ()
    ) -> Folder | None:
        """The folder for a customer with this locale for whom these variants hold, in their order.

        The first variant that has something for the channel, else the message's own; in it the customer's
        locale, what is left of it, the installation's, and what has no locale.
        """
        folders = self._found.get((message, channel), {})
        locales = (*fall_back(locale, self.locale), None)
        for variant in (*variants, None):
            for each in locales:
                if (variant, each) in folders:
                    return Folder(variant, each)
        return None

    def digest(self, message: str, channel: str, folder: Folder = OWN) -> str:
        """SHA-256 over names and sources of all parts, with all that they include, as hex."""
        place = (message, channel, folder)
        known = self._digests.get(place)
        if known is None:
            parts = self.parts(*place)
            sources = [[part, self.files[path]] for part, path in parts.items()]
            shared = {each for path in parts.values() for each in self.assembly(path).shared}
            sources += [[path, self.files[path]] for path in sorted(shared)]
            if channel == "email":
                sources += [[path, self.files[path]] for path in self._attached(message)]
            known = sha256(json.dumps(sources).encode()).hexdigest()
            self._digests[place] = known
        return known

    def _attached(self, message: str) -> list[str]:
        listing = f"templates/{message}/attachments.yaml"
        if listing not in self.files:
            return []
        text = self.files[listing]
        named = (each for each in self.files if each.startswith(FILES) and each.removeprefix(FILES) in text)
        return [listing, *sorted(named)]

    def render(
        self, message: str, channel: str, context: Mapping[str, Any], variants: Iterable[str] = ()
    ) -> Rendered:
        """The message for one customer, for whom these variants hold.

        `context` has `profile trigger event answers now`, and `brand links` if there are; whatever is null
        counts as undefined. Text put into a JSON part is escaped to stand inside its quotes; `tojson` gives a
        whole value with its own. A `profile` whose `personalise` is false gets the generic variant if there
        is one, and shows nothing but its locale. Raises `RenderError`.
        """
        profile = context.get("profile")
        if not isinstance(profile, Mapping):
            profile = {}
        elif profile.get("personalise") is False:
            profile = {name: profile[name] for name in KEPT if name in profile}
            context, variants = {**context, "profile": profile}, (GENERIC,)
        locale = profile.get("locale")
        folder = self.chosen(message, channel, locale if isinstance(locale, str) else None, variants)
        if folder is None:
            raise RenderError(f"there is no template {template_path(message, channel, '*')}")
        return self.render_folder(message, channel, folder, context)

    def render_folder(
        self, message: str, channel: str, folder: Folder, context: Mapping[str, Any]
    ) -> Rendered:
        """The message as this folder has it."""
        names: dict[str, Any] = {"brand": {}, "links": {}, "answers": {}, "profile": {}}
        names.update((name, value) for name, value in context.items() if value is not None)
        made = self.made(message, channel, folder)
        parts = {part: each.render(names) for part, each in made.items()}
        return Rendered(parts, self.digest(message, channel, folder), folder.label)

    def made(self, message: str, channel: str, folder: Folder) -> dict[str, Made]:
        """The parts ready to be rendered; the text of an e-mail that has HTML only is made of that."""
        place = (message, channel, folder)
        known = self._made.get(place)
        if known is None:
            known = dict(sorted(self._make(*place)))
            self._made[place] = known
        return known

    def _make(self, message: str, channel: str, folder: Folder) -> Iterator[tuple[str, Made]]:
        parts = self.parts(message, channel, folder)
        for part, path in parts.items():
            yield part, make(self.assembly(path), part)
        if channel == "email" and "html" in parts and "text" not in parts:
            yield "text", make_text(self.assembly(parts["html"]))
