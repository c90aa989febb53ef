"""`wecom`: customer contact in WeCom (developer.work.weixin.qq.com).

A message's `json` part is what the provider wants, less what is ours to set; its shape says which kind it is:

| shape | kind | sent to | repeated |
|---|---|---|---|
| `welcome_code` | `welcome` | `externalcontact/send_welcome_msg` | a code is good once (41051) |
| `msgtype` | `staff` | `message/send` | the provider does not notice |
| `text`, `attachments` | `group_send` | `externalcontact/add_msg_template` | `query` looks for the task |

A welcome has 20 seconds from the moment somebody became a friend. A group send only makes a task: a member
of staff confirms it, and `results` tells what became of it. Messages with the same content are one task, for
staff confirm each task by hand.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

from pydantic import Field, SecretStr

from channels.errors import Rejected, Throttled, Unavailable, Unknown
from channels.http import HttpClient, Url
from channels.inbound import Call, Forged, Heard, Reply
from channels.limits import Need, Quota
from channels.message import Message
from channels.pacing import Outcome, each
from channels.port import Adapter, Capabilities, Settings
from channels.receipt import Accepted, DeliveryState, Reason, Receipt
from channels.tokens import Fetched, Tokens
from channels.wechat_callback import CallReader
from channels.wechat_crypto import AesKey
from channels.wechat_http import TOKEN_CODES, Codes, TokenHttp, fetch_token
from channels.wecom_events import told
from channels.wecom_parts import provider_id, read_instant, read_part, same

CUSTOMERS_A_TASK = 10_000
PAGE = 100
REFUSED_TOKEN = (40014, 42001)
ALREADY_WELCOMED = 41051
CODES: Codes = {
    **TOKEN_CODES,
    45009: Throttled(timedelta(minutes=1)),
    45033: Throttled(timedelta(seconds=10)),
    41096: Throttled(timedelta(seconds=1)),
    40096: Rejected(Reason.ADDRESS_INVALID),
    81013: Rejected(Reason.ADDRESS_INVALID),
    41048: Rejected(Reason.ADDRESS_UNKNOWN),
    84061: Rejected(Reason.ADDRESS_UNKNOWN),
    41050: Rejected(Reason.WINDOW),
    45002: Rejected(Reason.TOO_LARGE),
    40003: Rejected(Reason.CONTENT),
    40007: Rejected(Reason.CONTENT),
    40008: Rejected(Reason.CONTENT),
    40058: Rejected(Reason.CONTENT),
    44004: Rejected(Reason.CONTENT),
    47001: Rejected(Reason.CONTENT),
    40056: Rejected(Reason.CREDENTIALS),
    48002: Rejected(Reason.CREDENTIALS),
    60011: Rejected(Reason.CREDENTIALS),
    60020: Rejected(Reason.CREDENTIALS),
    84074: Rejected(Reason.CREDENTIALS),
}
_RESULTS = {
    1: (DeliveryState.DELIVERED, None),
    2: (DeliveryState.FAILED, Reason.ADDRESS_UNKNOWN),
    3: (DeliveryState.FAILED, Reason.QUOTA),
}


class WeComSettings(Settings):
    """`channels.wecom.settings`."""

    together = (("callback_token", "callback_key"),)

    corp_id: str = Field(min_length=1, description="CorpID")
    secret: SecretStr = Field(description="Secret of the self-built app that may use customer contact")
    agent_id: int | None = Field(default=None, description="AgentId of the app; needed to write to staff")
    callback_token: SecretStr | None = Field(
        default=None, description="Token of the event server; without it no call is believed"
    )
    callback_key: AesKey | None = Field(default=None, description="EncodingAESKey of the event server")
    url: Url = Field(default="https://qyapi.weixin.qq.com", description="Where the interface lives")
    timeout: float = Field(default=10.0, gt=0, le=15, description="Seconds for one call")
    connections: int = Field(default=16, ge=1, le=500, description="Connections at most at once")
    oldest_call: int = Field(default=600, ge=10, description="Seconds after which a call is too old")
    task_window: int = Field(
        default=3600, ge=60, description="How many seconds back an unknown group send is looked for"
    )


class WeComAdapter(Adapter):
    name = "wecom"
    channels = frozenset({"wecom"})
    capabilities = Capabilities(
        remote=True,
        batch=True,
        can_query=True,
        checks_address=True,
        throttles=True,
        polled=True,
        inbound=True,
    )
    Settings = WeComSettings
    settings: WeComSettings
    quotas: ClassVar[Mapping[str, Quota]] = {"group_send": Quota(monthly="days")}

    def needs(self, message: Message) -> Need | None:
        try:
            kind, _ = read_part(message)
        except Rejected:
            return None
        return Need(kind) if kind in self.quotas else None

    def __init__(
        self,
        channel: str,
        settings: Any,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        **rest: Any,
    ) -> None:
        super().__init__(channel, settings, **rest)
        self._clock = clock
        own = self.settings
        self.http = HttpClient(timeout=own.timeout, connections=own.connections)
        # Every app of a corporation has a token of its own, and an app is known by its secret.
        app = hashlib.sha256(own.secret.get_secret_value().encode()).hexdigest()[:8]
        tokens = Tokens(f"wecom/{own.corp_id}/{app}", self.tokens, self._fetch)
        self.api = TokenHttp(own.url, self.http, tokens, CODES, REFUSED_TOKEN)
        self._calls: CallReader | None = None
        if own.callback_token is not None and own.callback_key is not None:
            self._calls = CallReader(
                own.callback_token.get_secret_value(),
                own.callback_key.get_secret_value(),
                own.corp_id,
                oldest=timedelta(seconds=own.oldest_call),
                echo_encrypted=True,
            )

    async def _fetch(self, refused: str | None) -> Fetched:
        own = self.settings
        query = urlencode({"corpid": own.corp_id, "corpsecret": own.secret.get_secret_value()})
        return await fetch_token(self.http, "GET", f"{own.url}/cgi-bin/gettoken?{query}")

    # --- sending -------------------------------------------------------------------------------------------

    async def send(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        outcomes: list[Outcome | None] = [None] * len(messages)
        alone: list[int] = []
        tasks: dict[str, list[int]] = {}
        for place, message in enumerate(messages):
            try:
                kind, document = read_part(message)
            except Rejected as refused:
                outcomes[place] = refused.with_traceback(None)
                continue
            if kind == "group_send":
                tasks.setdefault(json.dumps(document, sort_keys=True), []).append(place)
            else:
                alone.append(place)
        waiting = [
            asyncio.create_task(self._task(json.loads(content), [messages[p] for p in places[start:end]]))
            for content, places in tasks.items()
            for start in range(0, len(places), CUSTOMERS_A_TASK)
            for end in [start + CUSTOMERS_A_TASK]
        ]
        singly = await each(
            [messages[p] for p in alone], self._one, pacer=self.pacer, at_once=self.settings.connections
        )
        together = [outcome for task in waiting for outcome in await task]
        for place, outcome in zip(
            [*alone, *(p for places in tasks.values() for p in places)], [*singly, *together], strict=True
        ):
            outcomes[place] = outcome
        return [outcome for outcome in outcomes if outcome is not None]

    async def _one(self, message: Message) -> Accepted:
        kind, document = read_part(message)
        if kind == "welcome":
            return await self._welcome(document)
        if self.settings.agent_id is None:
            raise Rejected(Reason.CREDENTIALS, "the setting agent_id is missing")
        document["agentid"] = self.settings.agent_id
        found, raw = await self.api.post("/cgi-bin/message/send", document)
        given = found.get("msgid")
        return Accepted(given if isinstance(given, str) else None, raw)

    async def _welcome(self, document: dict[str, Any]) -> Accepted:
        until, seconds = document.pop("welcome_until", None), self.settings.timeout
        if until is not None:
            seconds = min(seconds, (read_instant(until) - self._clock()).total_seconds())
            if seconds <= 0:
                raise Rejected(Reason.WINDOW, "the 20 seconds of a welcome are over")
        _, raw = await self.api.post(
            "/cgi-bin/externalcontact/send_welcome_msg", document, seconds=seconds, fine=(ALREADY_WELCOMED,)
        )
        return Accepted(None, raw)

    async def _task(self, document: dict[str, Any], messages: Sequence[Message]) -> list[Outcome]:
        """One task of staff for all these messages, which differ in nothing but whom they go to."""
        if self.pacer is not None:
            for _ in messages:
                await self.pacer.take()
        ids = [message.address for message in messages]
        document = {"chat_type": "single", **document, "external_userid": list(dict.fromkeys(ids))}
        nowhere: set[object] = set()

        async def hand_over(first: Message) -> Accepted:
            found, _ = await self.api.post("/cgi-bin/externalcontact/add_msg_template", document)
            failed = found.get("fail_list")
            nowhere.update(failed if isinstance(failed, list) else ())
            return Accepted(str(found.get("msgid") or "") or None)

        [outcome] = await each(messages[:1], hand_over)
        if not isinstance(outcome, Accepted):
            return [outcome for _ in messages]
        task = outcome.provider_id
        return [
            Rejected(Reason.ADDRESS_UNKNOWN, "no friend of anybody who could send it")
            if id in nowhere
            else Accepted(provider_id(task, id) if task else None)
            for id in ids
        ]

    def closes_at(self, message: Message) -> datetime | None:
        try:
            until = read_part(message)[1].get("welcome_until")
            return None if until is None else read_instant(until)
        except Rejected:  # it is refused for that when it is sent
            return None

    # --- asking --------------------------------------------------------------------------------------------

    async def query(self, messages: Sequence[Message]) -> Sequence[Outcome | None]:
        """Look for the tasks that group sends of unknown outcome made: by time, sender, content, customer."""
        found: list[Outcome | None] = []
        tasks: list[dict[str, Any]] | None = None
        customers: dict[str, set[str]] = {}
        for message in messages:
            found.append(None)
            try:
                kind, document = read_part(message)
                if kind != "group_send":
                    continue
                if tasks is None:
                    now = self._clock()
                    tasks = await self._recent(now - timedelta(seconds=self.settings.task_window), now)
                for task in tasks:
                    id = str(task.get("msgid"))
                    if not same(task, document):
                        continue
                    if id not in customers:
                        customers[id] = {each["external_userid"] async for each in self._sends(id)}
                    if message.address in customers[id]:
                        found[-1] = Accepted(provider_id(id, message.address))
            except (Rejected, Throttled, Unavailable, Unknown):
                continue  # asked again another time
        return found

    async def results(self, provider_ids: Sequence[str]) -> Sequence[Receipt]:
        """What has become of group sends; nothing of those that staff have not sent yet.

        All messages of a task cost the calls of one, so give those of a task together.
        """
        wanted, receipts = set(provider_ids), []
        for task in dict.fromkeys(id.partition("/")[0] for id in provider_ids if "/" in id):
            async for entry in self._sends(task):
                known = provider_id(task, entry["external_userid"])
                state, reason = _RESULTS.get(entry.get("status", 0), (None, None))
                if state is not None and known in wanted:
                    sent = entry.get("send_time")
                    at = (
                        datetime.fromtimestamp(sent, UTC) if isinstance(sent, int) and sent else self._clock()
                    )
                    raw = f"status {entry['status']}"
                    receipts.append(Receipt(state, at, provider_id=known, reason=reason, raw=raw))
        return receipts

    async def _recent(self, start: datetime, end: datetime) -> list[dict[str, Any]]:
        asked = {
            "chat_type": "single",
            "start_time": int(start.timestamp()),
            "end_time": int(end.timestamp()) + 1,
        }
        path = "/cgi-bin/externalcontact/get_groupmsg_list_v2"
        return [task async for task in self._pages(path, asked, "group_msg_list")]

    async def _sends(self, task: str) -> AsyncIterator[dict[str, Any]]:
        folder = "/cgi-bin/externalcontact"
        async for staff in self._pages(f"{folder}/get_groupmsg_task", {"msgid": task}, "task_list"):
            asked = {"msgid": task, "userid": staff.get("userid")}
            async for entry in self._pages(f"{folder}/get_groupmsg_send_result", asked, "send_list"):
                if isinstance(entry.get("external_userid"), str):
                    yield entry

    async def _pages(self, path: str, asked: Mapping[str, Any], name: str) -> AsyncIterator[dict[str, Any]]:
        cursor = ""
        while True:
            found, _ = await self.api.post(path, {**asked, "limit": PAGE, "cursor": cursor})
            entries = found.get(name)
            for entry in entries if isinstance(entries, list) else []:
                if isinstance(entry, dict):
                    yield entry
            before, cursor = cursor, str(found.get("next_cursor") or "")
            if cursor in ("", before):
                return

    # --- hearing -------------------------------------------------------------------------------------------

    async def hear(self, call: Call) -> Heard:
        if self._calls is None:
            raise Forged("wecom has no callback_token and callback_key")
        found = self._calls.read(call)
        if isinstance(found, bytes):
            return Heard(Reply(body=found))
        return Heard(inbound=told(self.settings.corp_id, found))

    async def close(self) -> None:
        await self.http.close()
