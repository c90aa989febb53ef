"""Short links are written with the mark `sending`, and a repeat goes out byte for byte as before."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from channels.errors import Rejected, Throttled
from channels.receipt import Reason
from engine.content import TemplateSet
from engine.delivery import DeliveryPorts, LiveProject, deliver
from engine.language.installation import Installation, Links

from .conftest import World, message

BASE = "https://go.example.com"
TEMPLATES = {
    "templates/offer/email.subject.j2": "Tea",
    "templates/offer/email.text.j2": "https://shop.example/tea {{ links.unsubscribe }}",
    "templates/offer/email.html.j2": '<a href="https://shop.example/tea">Tea</a>'
    '<a data-link="more" href="https://shop.example/more#top">More</a>',
    "templates/offer/sms.text.j2": "Tea: https://shop.example/tea",
    "templates/plain/sms.text.j2": "No link {{ links.unsubscribe | default('here') }}",
}


@dataclass
class Linked(World):
    links: Links = field(default_factory=lambda: Links(base_url=BASE, utm={"campaign": "{journey}"}))

    def worker(self, name: str = "w1", channels_here: frozenset[str] | None = None) -> DeliveryPorts:
        async def project() -> LiveProject:
            installation = Installation(channels=self.channels, links=self.links)
            return LiveProject(TemplateSet(TEMPLATES), self.catalogue, installation)

        return replace(super().worker(name, channels_here), project=project)

    async def kept(self) -> list[tuple[str, str, str]]:
        """(channel, url, name) of all links."""
        async with self.database.connect() as connection:
            found = await connection.execute(
                sa.text("SELECT channel, url, name FROM message_links ORDER BY channel, url")
            )
            return [(row.channel, row.url, row.name) for row in found]


@pytest.fixture
def linked(world: World) -> Linked:
    return Linked(world.database, catalogue=world.catalogue)


async def test_links_of_a_mail_go_through_us_and_lead_where_they_led(linked: Linked) -> None:
    adapter = linked.fake("email")
    digest = linked.plan(message(template="offer", channels=("email",)))
    enrolment = await linked.customer(digest)
    await deliver(linked.worker(), [linked.order(enrolment, digest)])
    [sent] = adapter.attempts
    assert "shop.example" not in sent.parts["text"] + sent.parts["html"]
    code = sent.parts["text"].split()[0]
    assert code in sent.parts["html"]  # one link, one code
    assert sent.unsubscribe_url == sent.parts["text"].split()[1]
    assert sent.unsubscribe_url.startswith(f"{BASE}/u/")
    assert await linked.kept() == [
        ("email", "https://shop.example/more?utm_campaign=cart#top", "more"),
        ("email", "https://shop.example/tea?utm_campaign=cart", "https://shop.example/tea"),
    ]


async def test_a_message_that_is_tried_again_is_the_same_to_the_byte(linked: Linked) -> None:
    adapter = linked.fake("email")
    adapter.then(Throttled(timedelta(seconds=1)))
    digest = linked.plan(message(template="offer", channels=("email",)))
    enrolment = await linked.customer(digest)
    for name in ("w1", "w2"):
        await deliver(linked.worker(name), [linked.order(enrolment, digest)])
    first, again = adapter.attempts
    assert first == again
    assert len(await linked.kept()) == 2


async def test_the_channel_after_a_refusal_has_links_of_its_own(linked: Linked) -> None:
    linked.fake("email").then(Rejected(Reason.BLOCKED))
    sms = linked.fake("sms")
    digest = linked.plan(message(template="offer", channels=("email", "sms")))
    enrolment = await linked.customer(digest)
    await deliver(linked.worker(), [linked.order(enrolment, digest)])
    [sent] = sms.attempts
    assert sent.parts["text"].startswith(f"Tea: {BASE}/r/")
    assert [channel for channel, _, _ in await linked.kept()] == ["email", "email", "sms"]


async def test_an_address_tells_the_landing_page_who_came_where_that_is_wanted(linked: Linked) -> None:
    linked.links = Links(base_url=BASE, track_visits=True)
    sms = linked.fake("sms")
    digest = linked.plan(message(template="offer", channels=("sms",)))
    enrolment = await linked.customer(digest)
    await deliver(linked.worker(), [linked.order(enrolment, digest)])
    code = sms.attempts[0].parts["text"].rpartition("/")[2]
    assert await linked.kept() == [
        ("sms", f"https://shop.example/tea?krs={code}", "https://shop.example/tea")
    ]


async def test_a_transactional_mail_offers_no_one_click_button(linked: Linked) -> None:
    adapter = linked.fake("email")
    step = replace(message(template="offer", channels=("email",)), category="transactional")
    digest = linked.plan(step)
    enrolment = await linked.customer(digest)
    await deliver(linked.worker(), [linked.order(enrolment, digest)])
    [sent] = adapter.attempts
    assert sent.unsubscribe_url is None
    assert f"{BASE}/u/" in sent.parts["text"]


async def test_links_stay_as_they_are_without_an_address_of_ours_or_where_the_channel_is_not_listed(
    linked: Linked,
) -> None:
    sms = linked.fake("sms")
    for links in (Links(), Links(base_url="${KAIROS_LINK_URL}"), Links(base_url=BASE, channels=("email",))):
        linked.links = links
        digest = linked.plan(message(template="offer", channels=("sms",)))
        enrolment = await linked.customer(digest)
        await deliver(linked.worker(), [linked.order(enrolment, digest)])
        assert sms.attempts[-1].parts == {"text": "Tea: https://shop.example/tea"}
    assert await linked.kept() == []


async def test_without_an_address_the_way_out_is_null(linked: Linked) -> None:
    linked.links = Links()
    sms = linked.fake("sms")
    digest = linked.plan(message(template="plain", channels=("sms",)))
    enrolment = await linked.customer(digest)
    await deliver(linked.worker(), [linked.order(enrolment, digest)])
    assert sms.attempts[0].parts == {"text": "No link here"}
