"""The first minutes: from a provider's call that somebody is new to our message at the provider.

Everything runs as operators run it, one process each, with `run_as: workflow`; the providers are the shipped
fakes, in this process. Calls are signed and encrypted as the real ones. A welcome of WeCom is refused by the
fake once its 20 seconds are over, a customer-service message of WeChat after its minute, so one that comes
too late is missing, and the measurement fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from benchmarks.findings import Finding, figure, limited
from benchmarks.lab import Counted, Lab, apply, opened
from benchmarks.statistics import percentile
from channels.inbound import Call
from channels.testing.wechat import FakeWeChat
from channels.testing.wecom import FakeWeCom
from engine.temporal.server import port_near
from tests.integration.processes import processes

FOLLOWS = 100
SUSTAINED = 600
AT_ONCE = 16
WARM = 10
WELCOME_LIMIT, MINUTE = 5.0, 60.0
CORP, APP, TOKEN = "ww5823bf96d3bd56c7", "wx0123456789abcdef", "callback-token"
KEY = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
SECRETS = {
    "WECOM_ADDRESS": "address-of-wecom-0123456789",
    "WECHAT_ADDRESS": "address-of-wechat-0123456789",
    "APP_SECRET": "a-secret",
    "CALLBACK_TOKEN": TOKEN,
    "CALLBACK_KEY": KEY,
}


def project(wecom_url: str, wechat_url: str) -> dict[str, str]:
    return {
        "kairos.yaml": f"""version: 1
channels:
  wecom:
    adapter: wecom
    callback_secret: ${{WECOM_ADDRESS}}
    settings:
      corp_id: {CORP}
      secret: ${{APP_SECRET}}
      callback_token: ${{CALLBACK_TOKEN}}
      callback_key: ${{CALLBACK_KEY}}
      url: "{wecom_url}"
  wechat:
    adapter: wechat
    callback_secret: ${{WECHAT_ADDRESS}}
    settings:
      app_id: {APP}
      secret: ${{APP_SECRET}}
      callback_token: ${{CALLBACK_TOKEN}}
      callback_key: ${{CALLBACK_KEY}}
      url: "{wechat_url}"
""",
        "journeys/catalog.yaml": "events: {}\n",
        "journeys/new-friend.yaml": """journey: new-friend
category: transactional
trigger: {event: wecom.friend_added}
steps:
  - {id: welcome, message: {template: welcome, channels: [wecom]}}
""",
        "journeys/new-follower.yaml": """journey: new-follower
category: transactional
trigger: {event: wechat.followed}
steps:
  - {id: greet, message: {template: welcome, channels: [wechat]}}
""",
        "templates/welcome/wecom.json.j2": (
            '{"welcome_code": "{{ trigger.welcome_code }}", "welcome_until": "{{ trigger.welcome_until }}", '
            '"text": {"content": "Welcome, here is your first cup."}}\n'
        ),
        "templates/welcome/wechat.json.j2": (
            '{"msgtype": "text", "text": {"content": "Welcome, here is your first cup."}}\n'
        ),
    }


@dataclass
class Came:
    """When messages came to a provider (`time.time()`), by whom they are for."""

    at: dict[str, float] = field(default_factory=dict)
    counted: Counted = field(default_factory=Counted)
    room: asyncio.Semaphore = field(default_factory=asyncio.Semaphore)

    def note(self, whom: str, what: str) -> None:
        if whom not in self.at:
            self.at[whom] = time.time()
            self.counted.add(what)
            self.room.release()


class WeCom(FakeWeCom):
    def __init__(self, came: Came) -> None:
        super().__init__(CORP, SECRETS["APP_SECRET"], callback_token=TOKEN, callback_key=KEY)
        self.came = came

    def judge(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        answer = super().judge(path, document)
        self.came.note(self.sent[-1].to, "wecom")
        return answer


class WeChat(FakeWeChat):
    def __init__(self, came: Came) -> None:
        super().__init__(APP, SECRETS["APP_SECRET"], callback_token=TOKEN, callback_key=KEY)
        self.came = came

    def judge(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        answer = super().judge(path, document)
        self.came.note(self.sent[-1].to, "wechat")
        return answer

    def follow(self, open_id: str) -> Call:
        self.interact(open_id, "follow")
        at = datetime.fromtimestamp(int(time.time()), UTC)
        return self.caller.call(at, {"FromUserName": open_id, "MsgType": "event", "Event": "subscribe"})


@dataclass
class Shop:
    """A running installation, its providers, and what came to them."""

    http: httpx.AsyncClient
    wecom: WeCom
    wechat: WeChat
    came: Came
    asked: dict[str, float] = field(default_factory=dict)
    answered: list[float] = field(default_factory=list)

    def new(self, what: str, whom: str) -> tuple[str, Call]:
        """The call that tells of somebody new, and the adapter it is for."""
        return what, self.wecom.befriend(whom, "zhang") if what == "wecom" else self.wechat.follow(whom)

    async def tell(self, what: str, whom: str) -> None:
        adapter, call = self.new(what, whom)
        self.asked[whom] = time.time()
        answer = await self.http.post(
            f"/callbacks/{adapter}/{SECRETS[f'{what.upper()}_ADDRESS']}",
            params=dict(call.query),
            headers=dict(call.headers),
            content=call.body,
        )
        self.answered.append(time.time() - self.asked[whom])
        if answer.status_code != 200:
            raise AssertionError(f"{answer.status_code}: {answer.text[:200]}")


@contextlib.asynccontextmanager
async def shop(lab: Lab) -> AsyncIterator[Shop]:
    url = await lab.database("first_minutes")
    port, came = port_near(0), Came()
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(lab.temporal("first-minutes"))
        database = await stack.enter_async_context(opened(url))
        wecom = await stack.enter_async_context(WeCom(came))
        wechat = await stack.enter_async_context(WeChat(came))
        await apply(database, project(wecom.url, wechat.url))
        parts = stack.enter_context(processes(lab.place("first-minutes"), url, server.address, **SECRETS))
        children = [parts.api(port), parts.router(), parts.journeys()]
        children += [parts.send("wecom", name="send-wecom"), parts.send("wechat", name="send-wechat")]
        for child in children:
            child.start(wait=False)
        for child in children:
            await asyncio.to_thread(child.wait_until_ready)
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60)
        )
        yield Shop(http, wecom, wechat, came)


async def run(lab: Lab) -> list[Finding]:
    """A hundred in one second by each channel, and what goes on and on."""
    count, long = lab.sized(FOLLOWS, 20), lab.sized(SUSTAINED, 40)
    found = []
    async with shop(lab) as here:
        for what in ("wecom", "wechat"):
            await _pulse(here, what, f"warm-{what}", WARM)
        for what, limit, title in (
            ("wecom", WELCOME_LIMIT, "WeCom: new friend → welcome at the provider"),
            ("wechat", MINUTE, "WeChat: follow → customer-service message at the provider"),
        ):
            took = await _pulse(here, what, f"pulse-{what}", count)
            calls = 1_000 * percentile(here.answered, 0.99)
            rate = await _sustained(here, what, f"long-{what}", long)
            p50, p99 = percentile(took, 0.5), percentile(took, 0.99)
            found.append(
                limited(
                    f"{title}, {count} within a second, p99",
                    p99,
                    limit,
                    unit="s",
                    notes=[
                        f"{what}: p50 {figure(p50)} s, p99 {figure(p99)} s, longest {figure(max(took))} s; "
                        f"calls answered within {figure(calls)} ms (p99)",
                        f"{what}, {long:,} in a row, {AT_ONCE} calls at once: {figure(rate)} a second",
                    ],
                )
            )
    return found


async def _pulse(here: Shop, what: str, name: str, count: int) -> list[float]:
    """Seconds from each call to its message, for so many spread over one second."""
    began, before = time.time(), here.came.counted.count(what)
    here.answered.clear()
    tasks = []
    for number in range(count):
        await asyncio.sleep(max(0.0, began + number / count - time.time()))
        tasks.append(asyncio.create_task(here.tell(what, f"{name}-{number}")))
    await asyncio.gather(*tasks)
    await here.came.counted.reached(what, before + count, 60)
    return [here.came.at[f"{name}-{n}"] - here.asked[f"{name}-{n}"] for n in range(count)]


async def _sustained(here: Shop, what: str, name: str, count: int) -> float:
    """Messages a second, from the first call to the last message."""
    waiting, before = iter(range(count)), here.came.counted.count(what)
    here.came.room = asyncio.Semaphore(4 * AT_ONCE)
    began = time.time()

    async def work() -> None:
        for number in waiting:
            # No more of them under way than a provider lets wait: each has seconds only.
            await here.came.room.acquire()
            await here.tell(what, f"{name}-{number}")

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    await here.came.counted.reached(what, before + count, 120)
    return count / (time.time() - began)
