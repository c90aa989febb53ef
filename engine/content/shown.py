"""A message as it would arrive, for people who look before they send: what comes of it, and its size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.content.errors import RenderError
from engine.content.parts import Folder
from engine.content.scope import Rules
from engine.content.sms import sms_segments
from engine.content.templates import TemplateSet
from engine.core.locales import canonical


@dataclass(frozen=True, slots=True)
class Preview:
    """`parts` by name, or `problem`: why it cannot be rendered for this customer. `variant` and `digest` as
    on a delivery."""

    channel: str
    parts: dict[str, str]
    problem: str | None = None
    sms: str | None = None
    """For a text message: how many segments it takes, in words."""
    size: str | None = None
    """For an e-mail: how large its parts are, in words."""
    variant: str | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody asks to see instead of what the customer would get."""

    channel: str | None = None
    locale: str | None = None
    variant: str | None = None


class NotThere(Exception):
    """The message has nothing of that kind. The text says what it has."""


def shown(
    templates: TemplateSet,
    message: str,
    context: Mapping[str, Any],
    variants: Sequence[str],
    wanted: Wanted,
    rules: Mapping[str, Rules],
) -> list[Preview]:
    """The message on each of its channels, or on the one that is wanted.

    `variants` hold for the customer; `rules` by channel say how segments count. Raises `NotThere`.
    """
    channels = templates.channels(message)
    if not channels:
        known = ", ".join(templates.messages()) or "none"
        raise NotThere(f"there is no message `{message}`; there are: {known}")
    if wanted.channel is not None and wanted.channel not in channels:
        raise NotThere(f"`{message}` is not there for {wanted.channel}; it is for {', '.join(channels)}")
    if wanted.locale is not None and canonical(wanted.locale) is None:
        raise NotThere(f"`{wanted.locale}` is no locale; expected one such as zh-Hant or de")
    names = templates.variants.get(message, ())
    if wanted.variant is not None and wanted.variant not in (*names, "generic"):
        raise NotThere(f"`{message}` has no variant `{wanted.variant}`; it has {', '.join(names) or 'none'}")
    profile = dict(context.get("profile") or {})
    if wanted.locale is not None:
        profile["locale"] = wanted.locale
    if wanted.variant is not None:
        profile["personalise"] = wanted.variant != "generic"
        variants = (wanted.variant,)
    seen = {**context, "profile": profile}
    listed = channels if wanted.channel is None else (wanted.channel,)
    return [_one(templates, message, each, seen, variants, rules.get(each, Rules())) for each in listed]


def _one(
    templates: TemplateSet,
    message: str,
    channel: str,
    context: Mapping[str, Any],
    variants: Sequence[str],
    rules: Rules,
) -> Preview:
    try:
        rendered = templates.render(message, channel, context, variants)
    except RenderError as error:
        return Preview(channel, {}, str(error))
    parts, sms, size = rendered.parts, None, None
    if channel == "sms" and "text" in parts:
        sms = _segments(parts["text"], rules)
    if channel == "email":
        sizes = [
            f"{part} {len(parts[part].encode()) / 1024:.1f} KB" for part in ("html", "text") if part in parts
        ]
        size = ", ".join(sizes)
    return Preview(channel, parts, None, sms, size, rendered.variant, rendered.digest)


def _segments(text: str, rules: Rules) -> str:
    if rules.mainland and rules.signature and not text.startswith(rules.signature):
        text = rules.signature + text
    found = sms_segments(text, rules.mainland)
    told = f"{found.units} characters, {found.count} {'segment' if found.count == 1 else 'segments'}"
    if rules.price is None:
        return told
    return f"{told}, {found.count * rules.price:.4g} {rules.currency}".rstrip()


def folders_in_words(folders: Sequence[Folder]) -> list[str]:
    """The variants and locales of a message, as they are named on deliveries."""
    return sorted(folder.label for folder in folders if folder.label is not None)
