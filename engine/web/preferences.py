"""`/u/TOKEN`: one way out. `/p/TOKEN`: what somebody gets, by channel and purpose. Neither needs a key.

The token is the capability: who has the message may choose. Opening a page changes nothing, because mail
gateways open every link; only a form does, or a mail program's one-click button (RFC 8058), which posts to
the same address, sends no cookie and gets an empty answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response

from engine.api.body import read_body
from engine.api.problems import Problem
from engine.api.services import services
from engine.customers.applied import applied
from engine.customers.link_tokens import About
from engine.ingest.consenting import NobodyConsents, Said, record_changes
from engine.language.addresses import address_kind
from engine.language.installation import Installation
from engine.store import consents, profiles
from engine.store.consents import EVERY_CHANNEL, EVERY_PURPOSE, CurrentConsents
from engine.store.profiles import Profile
from engine.web import public_pages
from engine.web.public import for_people, public, wrong
from engine.web.public_words import VERSION, WORDS, Language

router = APIRouter(include_in_schema=False)

LARGEST_FORM: Final = 16 * 1024
_CHANNELS: Final = ("email", "sms", "push", "wechat", "wecom", "alipay")
_TO_SYSTEMS: Final = frozenset({"webhook"})


@dataclass(frozen=True, slots=True)
class Person:
    """Who a token is about, as they are now. `profile` None: erased since."""

    about: About
    profile: Profile | None
    installation: Installation
    consents: CurrentConsents

    @property
    def brand(self) -> str | None:
        name = self.installation.brand.get("name")
        return None if name is None else str(name)

    def language(self, request: Request) -> Language:
        own = None if self.profile is None else self.profile.locale
        return public_pages.language(request, own)

    def gets(self, channel: str, purpose: str) -> bool:
        """Whether messages of this purpose are sent by this channel."""
        word = self.consents.granted(channel, "marketing", purpose)
        return self.installation.consent["marketing"] != "opt_in" if word is None else word


@dataclass(frozen=True, slots=True)
class Box:
    field: str
    label: str
    ticked: bool
    channel: str
    purpose: str


async def _person(request: Request, about: About) -> Person:
    async with services(request).database.connect() as connection:
        installation = (await applied(connection)).installation
        profile = (await profiles.surviving(connection, [about.profile_id])).get(about.profile_id)
        owner = about.profile_id if profile is None else profile.id
        current = (await consents.current(connection, [owner]))[owner]
    return Person(about, profile, installation, current)


async def _about(request: Request, token: str) -> About | None:
    """What the token is about. A wrong one costs no query, except for the key at the first of all."""
    key = public(request).key
    await key.load(services(request).database)
    return key.read(token)


Page = Callable[[Request, str, Person], Awaitable[Response]]


def for_holders(page: Page) -> Callable[[Request, str], Awaitable[Response]]:
    """A page for whoever holds a token, which says whose it is. A wrong one leads nowhere."""

    async def opened(request: Request, token: str) -> Response:
        about = await _about(request, token)
        if about is None:
            return wrong(request)
        return await page(request, token, await _person(request, about))

    opened.__name__ = page.__name__
    return for_people(opened)


async def _form(request: Request) -> dict[str, list[str]]:
    """The fields of a form. Another kind of body, such as a mail program may send, has none."""
    body = await read_body(request, limit=LARGEST_FORM)
    try:
        return parse_qs(body.decode("utf-8", "replace"), max_num_fields=500)
    except ValueError:
        raise Problem(413, "too-large", "the form has too many fields") from None


@router.get("/u/{token}")
@for_holders
async def ask(request: Request, token: str, person: Person) -> Response:
    spoken = person.language(request)
    if person.profile is None:
        return _nobody(person, spoken)
    return public_pages.page(
        "unsubscribe.html",
        spoken,
        brand=person.brand,
        title=WORDS[spoken]["unsubscribe"],
        what=_what(person.about, spoken),
        preferences=f"/p/{token}",
    )


@router.post("/u/{token}")
@for_holders
async def unsubscribe(request: Request, token: str, person: Person) -> Response:
    about, by_hand = person.about, "page" in await _form(request)
    spoken = person.language(request)
    source = "unsubscribe page" if by_hand else "one-click unsubscribe"
    said = Said(about.channel, False, about.purpose, "marketing", source, f"{VERSION} {spoken}")
    kept = await _recorded(request, person, [said])
    if not by_hand:
        return Response(headers={"Cache-Control": "no-store"})
    if not kept:
        return _nobody(person, spoken)
    return public_pages.page(
        "unsubscribed.html",
        spoken,
        brand=person.brand,
        title=WORDS[spoken]["unsubscribed"],
        what=_what(about, spoken),
        preferences=f"/p/{token}",
    )


@router.get("/p/{token}")
@for_holders
async def show(request: Request, token: str, person: Person) -> Response:
    return _preferences(request, person)


@router.post("/p/{token}")
@for_holders
async def choose(request: Request, token: str, person: Person) -> Response:
    form = await _form(request)
    if person.profile is None:
        return _nobody(person, person.language(request))
    version = f"{VERSION} {person.language(request)}"
    if "none" in form:
        chosen = [Said(EVERY_CHANNEL, False, EVERY_PURPOSE, "marketing", "preference page", version)]
    else:
        chosen = _chosen(person, form, version)
    if not await _recorded(request, person, chosen):
        return _nobody(person, person.language(request))
    told = "none_saved" if "none" in form else "saved"
    return _preferences(request, await _person(request, person.about), told)


async def _recorded(request: Request, person: Person, said: list[Said]) -> bool:
    """Whether there still is somebody whose consent it is."""
    if person.profile is None:
        return False
    try:
        await record_changes(services(request).database, person.profile.id, said)
    except NobodyConsents:
        return False
    return True


def _channels(person: Person) -> list[str]:
    """Channels that reach this person, the message's own first."""
    known = list(person.installation.channels) or list(_CHANNELS)
    addresses = {} if person.profile is None else person.profile.addresses
    listed = dict.fromkeys([person.about.channel, *known])
    return [
        channel
        for channel in listed
        if channel not in _TO_SYSTEMS
        and (channel == person.about.channel or addresses.get(address_kind(channel)))
    ]


def _boxes(person: Person, language: Language) -> list[tuple[str, list[Box]]]:
    """What can be chosen: by channel a box for messages without a purpose, and one for each purpose."""
    groups = []
    for channel in _channels(person):
        boxes = [
            Box(f"{channel}:{purpose}", label, person.gets(channel, purpose), channel, purpose)
            for purpose, label in _purposes(person, language)
        ]
        groups.append((_channel_name(channel, language), boxes))
    return groups


def _purposes(person: Person, language: Language) -> list[tuple[str, str]]:
    own = [(name, name.replace("-", " ").capitalize()) for name in person.installation.purposes]
    return [(EVERY_PURPOSE, WORDS[language]["general"]), *own]


def _chosen(person: Person, form: dict[str, list[str]], version: str) -> list[Said]:
    """What the form changes. A word for every purpose would speak for each: those are said again after it."""
    ticked = set(form.get("get", ()))
    said = []
    for _, boxes in _boxes(person, "en"):
        changed = [box for box in boxes if (box.field in ticked) != box.ticked]
        if any(box.purpose == EVERY_PURPOSE for box in changed):
            changed = boxes
        said += [
            Said(
                box.channel,
                box.field in ticked,
                box.purpose,
                "marketing",
                "preference page",
                version,
            )
            for box in changed
        ]
    return said


def _preferences(request: Request, person: Person, told: str | None = None) -> Response:
    spoken = person.language(request)
    if person.profile is None:
        return _nobody(person, spoken)
    return public_pages.page(
        "preferences.html",
        spoken,
        brand=person.brand,
        title=WORDS[spoken]["preferences"],
        groups=_boxes(person, spoken),
        told=None if told is None else WORDS[spoken][told],
    )


def _nobody(person: Person, language: Language) -> Response:
    words = WORDS[language]
    return public_pages.page(
        "public_notice.html",
        language,
        brand=person.brand,
        title=words["nobody"],
        said=words["nobody_said"],
        link=None,
    )


def _what(about: About, language: Language) -> str:
    """The channel, and the purpose if the message had one."""
    name = _channel_name(about.channel, language)
    if about.purpose == EVERY_PURPOSE:
        return name
    return f"{name}: {about.purpose.replace('-', ' ').capitalize()}"


def _channel_name(channel: str, language: Language) -> str:
    return WORDS[language].get(f"channel_{channel}", channel.replace("_", " ").capitalize())
