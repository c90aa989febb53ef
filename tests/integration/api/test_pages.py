"""The pages as HTML: who may see them, what they show, and that everything is escaped."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.api.conftest import READ_KEY, WRITE_KEY
from tests.integration.api.shop import Shop, keep_message, make_shop
from workers.api import run_api

ATTACK = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'>"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;"


@pytest.fixture
async def shop(database: AsyncEngine) -> Shop:
    made = await make_shop(database)
    await keep_message(database, "k1", "sms", template="cart", step="coupon-reminder", enrolment_id=made.live)
    await keep_message(
        database, "k2", "email", template="last-call", address="ada@example.com",
        parts={"subject": "Last call", "text": "Soon", "html": "<h1 class='x'>Soon</h1>"},
    )  # fmt: skip
    await keep_message(database, "k3", "push", parts={"title": "Hey", "body": "Come back"})
    await keep_message(database, "k4", "wechat", parts={"json": '{"thing1":{"value":"购物车"}}'})
    return made


@pytest.fixture
async def pages(database: AsyncEngine, shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    """Pages that are open, as in development."""
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        run_api(
            database,
            port=0,
            stop=stop,
            ready=ready.set_result,
            open_pages=True,
            temporal_ui="http://127.0.0.1:8233/",
        )
    )
    async with httpx.AsyncClient(base_url=await asyncio.wait_for(ready, 20)) as client:
        yield client
    stop.set()
    await asyncio.wait_for(serving, 20)


async def test_messages_are_shown_newest_first_and_found(pages: httpx.AsyncClient, shop: Shop) -> None:
    page = (await pages.get("/outbox")).text
    assert page.index("购物车") < page.index("Come back") < page.index("Last call") < page.index("Hello")
    assert f'href="/enrolments/{shop.live}"' in page
    for query, shown, hidden in (
        ("channel=email", "Soon", "Hello"),
        ("template=cart", "Hello", "Soon"),
        ("search=COME+back", "Come back", "Hello"),
        ("search=ada@", "Soon", "Hello"),
        ("search=100%25", "No message fits", "Hello"),
    ):
        page = (await pages.get(f"/outbox?{query}")).text
        assert shown in page, query
        assert hidden not in page, query


async def test_html_of_a_message_is_shown_in_a_frame_that_can_do_nothing(pages: httpx.AsyncClient) -> None:
    answer = await pages.get("/outbox?channel=email")
    assert "<iframe sandbox title" in answer.text
    assert 'srcdoc="&lt;h1 class=&#39;x&#39;&gt;Soon&lt;/h1&gt;"' in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_older_messages_are_on_the_next_page(pages: httpx.AsyncClient, database: AsyncEngine) -> None:
    for number in range(30):
        await keep_message(database, f"n{number}", "sms", parts={"text": f"note {number}."})
    first = (await pages.get("/outbox?channel=sms")).text
    older = first.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    second = (await pages.get(older)).text
    for number in range(30):
        assert (f"note {number}." in first) != (f"note {number}." in second)


async def test_an_enrolment_is_told_in_words_with_its_diagram(pages: httpx.AsyncClient, shop: Shop) -> None:
    page = (await pages.get(f"/enrolments/{shop.live}")).text
    assert "<code>coupon-reminder</code> sent by sms" in page
    assert 'src="data:image/svg+xml;base64,' in page
    assert f"http://127.0.0.1:8233/namespaces/default/workflows/unpaid-cart%2F{shop.live}" in page
    missing = await pages.get("/enrolments/00000000-0000-0000-0000-000000000000")
    assert (missing.status_code, missing.headers["content-type"]) == (404, "text/html; charset=utf-8")


async def test_journeys_show_state_and_counts(pages: httpx.AsyncClient, shop: Shop) -> None:
    assert "Bring back an unpaid cart" in (await pages.get("/journeys")).text
    page = (await pages.get("/journeys/unpaid-cart")).text
    assert "Exit goal" in page
    picture = page.split('src="data:image/svg+xml;base64,')[1].split('"')[0]
    drawn = base64.b64decode(picture).decode()
    assert drawn.index("offer-test") < drawn.index("plain-reminder") < drawn.index("last-call")
    assert (await pages.get("/journeys/nothing")).status_code == 404


@pytest.mark.parametrize("channel", ["sms", "email", "push", "wechat", "other"])
async def test_everything_in_a_message_is_escaped(
    pages: httpx.AsyncClient, database: AsyncEngine, channel: str
) -> None:
    names = ("subject", "text", "html", "title", "body", "json", ATTACK)
    await keep_message(
        database, "x", channel, address=ATTACK, template=ATTACK, step=ATTACK,
        parts=dict.fromkeys(names, ATTACK),
    )  # fmt: skip
    page = (await pages.get("/outbox", params={"channel": channel, "search": "<script>"})).text
    assert ESCAPED in page
    assert "<script" not in page
    assert "<img src=x" not in page


async def test_pages_need_a_key_that_may_read(shop: Shop, http: httpx.AsyncClient, address: str) -> None:
    async with httpx.AsyncClient(base_url=address) as visitor:
        for path in ("/outbox", "/journeys", f"/enrolments/{shop.live}"):
            assert (await visitor.get(path)).headers["location"].startswith("/login?next=")
        wrong = await visitor.post("/login", data={"key": WRITE_KEY})
        assert wrong.status_code == 403
        assert "set-cookie" not in wrong.headers
        right = await visitor.post("/login", data={"key": READ_KEY, "next": "/journeys"})
        assert (right.status_code, right.headers["location"]) == (303, "/journeys")
        assert "HttpOnly" in right.headers["set-cookie"]
        assert (await visitor.get("/outbox")).status_code == 200
        away = await visitor.post("/login", data={"key": READ_KEY, "next": "//evil.example"})
        assert away.headers["location"] == "/outbox"


async def test_open_pages_answer_to_names_of_this_machine_only(pages: httpx.AsyncClient) -> None:
    assert (await pages.get("/outbox", headers={"Host": "evil.example"})).status_code == 421
    assert (await pages.get("/outbox", headers={"Host": "localhost:8000"})).status_code == 200


async def test_messages_are_previewed_as_a_customer_would_get_them(
    pages: httpx.AsyncClient, shop: Shop
) -> None:
    listed = (await pages.get("/preview")).text
    name = listed.split('href="/preview/')[1].split('"')[0]
    channel = listed.split("?channel=")[1].split('"')[0]
    page = await pages.get(f"/preview/{name}", params={"channel": channel, "customer": "c-17"})
    assert page.status_code == 200
    assert "with the trigger of enrolment" in page.text
    assert "version <code>" in page.text
    nobody = await pages.get(f"/preview/{name}", params={"customer": ATTACK, "locale": ATTACK})
    assert "this leads to nobody" in nobody.text
    assert ATTACK not in nobody.text
    assert (await pages.get("/preview/nothing")).status_code == 404
    assert (await pages.get(f"/preview/{name}", params={"variant": "nothing"})).status_code == 200
