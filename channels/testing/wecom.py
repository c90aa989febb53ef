"""A WeCom corporation that checks what the real one is documented to: tokens, fields, lengths, friends.

fake.befriend("wm-1", "zhang", "shop-8")    a friend; the call that WeCom makes is returned
fake.confirm(task)                          staff send a group message; the month's allowance counts
"""

from __future__ import annotations

import time
from calendar import monthrange
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from channels.inbound import Call
from channels.testing.wechat_api import FakeTokenApi, Refused, Sent
from channels.testing.wechat_calls import Caller

FOLDER = "/cgi-bin/externalcontact/"
WELCOME_SECONDS = 20
TEXT_BYTES = 4000
ATTACHMENTS = 9
CUSTOMERS = 10_000
SORTS = ("text", "image", "voice", "video", "file", "textcard", "news", "mpnews", "markdown")
UNSENT, SENT, NO_FRIEND, TOO_MANY = 0, 1, 2, 3


@dataclass(slots=True)
class Task:
    """A group send, and what has become of it for each customer."""

    id: str
    creator: str
    created: int
    content: Mapping[str, Any] = field(repr=False)
    results: dict[str, int] = field(repr=False)
    staff: dict[str, str] = field(repr=False)
    sent: int = 0


class FakeWeCom(FakeTokenApi):
    """`async with FakeWeCom(corp_id, secret) as fake: … fake.url … fake.sent`."""

    refused_token = 40014

    def __init__(
        self,
        corp_id: str,
        secret: str,
        *,
        agent_id: int = 1000002,
        callback_token: str = "callback-token",
        callback_key: str = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C",
        a_month: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`a_month`: group messages for one customer; by default as many as the month has days."""
        super().__init__()
        self.corp_id, self.secret, self.agent_id = corp_id, secret, agent_id
        self.caller = Caller(callback_token, corp_id, callback_key)
        self.friends: dict[str, str] = {}
        self.staff: set[str] = set()
        self.tasks: dict[str, Task] = {}
        self._codes: dict[str, tuple[str, float]] = {}
        self._used: set[str] = set()
        self._month: Counter[tuple[str, int, int]] = Counter()
        self._a_month, self._clock = a_month, clock

    def befriend(self, customer: str, staff: str, state: str = "") -> Call:
        self.friends[customer] = staff
        self.staff.add(staff)
        code = f"welcome-{len(self._codes)}"
        self._codes[code] = (customer, self._clock() + WELCOME_SECONDS)
        return self.changed("add_external_contact", customer, staff, State=state, WelcomeCode=code)

    def changed(self, change: str, customer: str, staff: str, **more: str) -> Call:
        """The call that tells of a change of a friend."""
        fields = {
            **{"FromUserName": "sys", "MsgType": "event", "Event": "change_external_contact"},
            **{"ChangeType": change, "UserID": staff, "ExternalUserID": customer, **more},
        }
        return self.caller.call(datetime.fromtimestamp(int(self._clock()), UTC), fields)

    def confirm(self, task: str) -> None:
        """Every member of staff sends what the task asks of them."""
        found, now = self.tasks[task], datetime.fromtimestamp(self._clock(), UTC)
        most = monthrange(now.year, now.month)[1] if self._a_month is None else self._a_month
        found.sent = int(self._clock())
        for customer in found.results:
            month = (customer, now.year, now.month)
            if customer not in self.friends:
                found.results[customer] = NO_FRIEND
            elif self._month[month] >= most:
                found.results[customer] = TOO_MANY
            else:
                self._month[month] += 1
                found.results[customer] = SENT

    # --- answering -----------------------------------------------------------------------------------------

    def give_token(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> Any:
        if path != "/cgi-bin/gettoken":
            return None
        if method != "GET" or query.get("corpid") != self.corp_id:
            raise Refused(40013, "invalid corpid")
        if query.get("corpsecret") != self.secret:
            raise Refused(40001, "invalid credential")
        return {"errcode": 0, "errmsg": "ok", **self.issue()}

    def judge(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        match path.removeprefix(FOLDER):
            case "send_welcome_msg":
                return self._welcome(path, document)
            case "add_msg_template":
                return self._add_task(path, document)
            case "get_groupmsg_list_v2":
                return self._list(document)
            case "get_groupmsg_task":
                return self._staff_of(document)
            case "get_groupmsg_send_result":
                return self._results(document)
            case "/cgi-bin/message/send":
                return self._staff_message(path, document)
        raise Refused(48002, "api forbidden")

    def _welcome(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        code = document.get("welcome_code")
        if not isinstance(code, str) or set(document) - {"welcome_code", "text", "attachments"}:
            raise Refused(40058, "invalid Request Parameter")
        _content(document)
        customer, until = self._codes.get(code, ("", 0.0))
        if code in self._used:
            raise Refused(41051, "welcome_code is used")
        if not customer or self._clock() >= until:
            raise Refused(41050, "invalid welcome code")
        self._used.add(code)
        self.sent.append(Sent(path, customer, document))
        return {}

    def _add_task(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        customers, sender = document.get("external_userid"), document.get("sender")
        known = {"chat_type", "external_userid", "sender", "allow_select", "text", "attachments"}
        if document.get("chat_type") != "single" or set(document) - known:
            raise Refused(40058, "invalid Request Parameter")
        if not isinstance(customers, list) or not 1 <= len(customers) <= CUSTOMERS:
            raise Refused(40058, "invalid Request Parameter: external_userid")
        if sender is not None and sender not in self.staff:
            raise Refused(40003, "invalid userid")
        _content(document)
        reached = [c for c in customers if c in self.friends and sender in (None, self.friends[c])]
        failed = [c for c in customers if c not in reached]
        if not reached:
            raise Refused(41048, "no customer to send")
        id = f"msg-{len(self.tasks)}"
        self.tasks[id] = Task(
            id,
            sender or self.friends[reached[0]],
            int(self._clock()),
            {name: document[name] for name in ("text", "attachments") if name in document},
            dict.fromkeys(reached, UNSENT),
            {c: self.friends[c] for c in reached},
        )
        self.sent.extend(Sent(path, customer, document, id) for customer in reached)
        return {"msgid": id, "fail_list": failed}

    def _list(self, asked: dict[str, Any]) -> dict[str, Any]:
        start, end = asked.get("start_time"), asked.get("end_time")
        if not isinstance(start, int) or not isinstance(end, int) or end - start > 31 * 86_400:
            raise Refused(40058, "invalid Request Parameter: start_time")
        found = [
            {
                "msgid": t.id,
                "creator": t.creator,
                "create_time": str(t.created),
                "create_type": 0,
                **t.content,
            }
            for t in self.tasks.values()
            if start <= t.created <= end
        ]
        return _page(asked, "group_msg_list", found, 100)

    def _staff_of(self, asked: dict[str, Any]) -> dict[str, Any]:
        task = self._task(asked)
        found = [
            {"userid": staff, "status": 2 if task.sent else 0, "send_time": task.sent}
            for staff in dict.fromkeys(task.staff.values())
        ]
        return _page(asked, "task_list", found, 1000)

    def _results(self, asked: dict[str, Any]) -> dict[str, Any]:
        task = self._task(asked)
        found = [
            {
                **{"external_userid": customer, "userid": task.staff[customer], "status": status},
                **({"send_time": task.sent} if status == SENT else {}),
            }
            for customer, status in task.results.items()
            if task.staff[customer] == asked.get("userid")
        ]
        return _page(asked, "send_list", found, 1000)

    def _task(self, asked: dict[str, Any]) -> Task:
        task = self.tasks.get(str(asked.get("msgid")))
        if task is None:
            raise Refused(40058, "invalid Request Parameter: msgid")
        return task

    def _staff_message(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        sort = document.get("msgtype")
        if document.get("agentid") != self.agent_id:
            raise Refused(40056, "invalid agentid")
        if sort not in SORTS or not isinstance(document.get(str(sort)), dict):
            raise Refused(40008, "invalid message type")
        named = str(document.get("touser", "")).split("|")
        known = [each for each in named if each in self.staff]
        if not known:
            raise Refused(81013, "user & party & tag all invalid")
        id = f"app-{len(self.sent)}"
        self.sent.append(Sent(path, "|".join(known), document, id))
        return {"msgid": id, "invaliduser": "|".join(each for each in named if each not in known)}


def _content(document: dict[str, Any]) -> None:
    text, attachments = document.get("text"), document.get("attachments", [])
    words = text.get("content", "") if isinstance(text, dict) else ""
    if not words and not attachments:
        raise Refused(44004, "content is empty")
    if len(str(words).encode()) > TEXT_BYTES:
        raise Refused(45002, "content size out of limit")
    if not isinstance(attachments, list) or len(attachments) > ATTACHMENTS:
        raise Refused(40058, "invalid Request Parameter: attachments")
    for each in attachments:
        if not isinstance(each, dict) or not isinstance(each.get(str(each.get("msgtype"))), dict):
            raise Refused(40058, "invalid Request Parameter: attachments")


def _page(asked: dict[str, Any], name: str, found: list[dict[str, Any]], most: int) -> dict[str, Any]:
    limit, start = asked.get("limit", most), int(asked.get("cursor") or 0)
    if not isinstance(limit, int) or not 1 <= limit <= most:
        raise Refused(40058, "invalid Request Parameter: limit")
    end = start + limit
    return {name: found[start:end], "next_cursor": str(end) if end < len(found) else ""}
