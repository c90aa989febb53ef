"""What the columns of a file are: by the words of their header, English and Chinese, or as a mapping says.

A column becomes one of the words of `identify` (kinds of identifier, `time_zone`, `locale`, `tags`,
`segments`, `consents`), `at`, one of `consent.CHANNEL`, `tag.NAME`, `segment.NAME`, `identity.KIND`, or an
attribute. Of events: an identifier, `event`, `occurred_at`, `message_id`, or a property.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from engine.language.addresses import KINDS
from engine.language.catalogue import Catalogue

What = Literal["customers", "events"]
RESERVED: Final = ("time_zone", "locale", "tags", "segments", "consents", "at")
OF_EVENTS: Final = ("event", "occurred_at", "message_id")
PREFIXES: Final = ("consent.", "tag.", "segment.", "identity.")

_IDENTIFIERS: Final[Mapping[str, str]] = {
    "external_id": "externalid id userid customerid customerno customernumber clientid uid 客户编号 "
    "客户号 客户id 用户id 用户编号 顾客编号 客户编码",
    "member_number": "membernumber memberno memberid membercode membershipnumber cardno cardnumber "
    "loyaltynumber "
    "会员号 会员编号 会员卡号 会员id 会员代码 卡号",
    "phone": "phone phonenumber mobile mobilephone mobilenumber cell cellphone tel telephone telephonenumber "
    "手机 手机号 手机号码 电话 电话号码 联系电话 移动电话 联系方式",
    "email": "email emailaddress mail mailaddress e邮箱 邮箱 邮箱地址 电子邮箱 电子邮件 邮件 邮件地址",
    "wechat": "wechat openid wechatopenid wxopenid 微信 微信openid 微信号openid",
    "wechat_unionid": "unionid wechatunionid wxunionid 微信unionid",
    "wecom": "wecom wecomid externaluserid wecomexternaluserid 企业微信 企业微信id 企微id",
    "alipay": "alipay alipayid alipayuserid 支付宝 支付宝id 支付宝账号",
    "alipay_open_id": "alipayopenid 支付宝openid",
    "taobao_nick": "taobaonick taobao 淘宝昵称 淘宝 淘宝账号 旺旺 旺旺号",
    "jd_pin": "jdpin jd 京东pin 京东 京东账号",
    "device_id": "deviceid idfa oaid androidid 设备号 设备id",
    "push": "push pushtoken devicetoken 推送",
    "anonymous_id": "anonymousid visitorid cookieid 访客id 匿名id",
}
_CUSTOMERS: Final[Mapping[str, str]] = {
    "time_zone": "timezone tz 时区",
    "locale": "locale language lang 语言",
    "tags": "tags tag labels 标签 客户标签",
    "segments": "segments lists 名单 人群",
    "consents": "consents consent permissions 同意 授权",
    "at": "updatedat lastupdated modifiedat lastmodified 更新时间 修改时间",
}
_EVENTS: Final[Mapping[str, str]] = {
    "event": "event eventname eventtype action 事件 事件名 事件名称 行为",
    "occurred_at": "occurredat timestamp time datetime date eventtime createdat orderedat orderdate "
    "ordertime "
    "paidat paytime purchasedate 时间 日期 发生时间 事件时间 下单时间 支付时间 付款时间 订单时间 交易时间",
    "message_id": "messageid eventid id 事件id 消息id",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the file, and what it becomes. `format` reads its dates, as Python's `strptime` does."""

    name: str
    to: str
    format: str | None = None


@dataclass(frozen=True, slots=True)
class Mapped:
    """What all columns of a file become; `left_out` become nothing."""

    what: What
    columns: tuple[Column, ...]
    left_out: tuple[str, ...] = ()
    event: str | None = None
    """Of events: the name of them all."""

    def of(self, to: str) -> Column | None:
        """The column that becomes this, if one does."""
        return next((column for column in self.columns if column.to == to), None)


def guess(
    what: What,
    names: Sequence[str],
    catalogue: Catalogue,
    event: str | None = None,
    given: Iterable[Column] = (),
) -> Mapped:
    """What columns of these names become. `given` are told, and not guessed at.

    Of customers a column that is neither known by its name nor an attribute of the catalogue is left out; of
    events it is a property of the same name.
    """
    told = {column.name: column for column in given}
    taken = {column.to for column in told.values()}
    words = _words(_IDENTIFIERS) | _words(_CUSTOMERS if what == "customers" else _EVENTS)
    settable = (name for name, about in catalogue.profile.items() if about.computed is None)
    own = {_plain(name): name for name in settable} if what == "customers" else {}
    columns, left_out = [], []
    for name in names:
        if name in told:
            columns.append(told[name])
            continue
        to = _one(what, name, words, own)
        if to is None or (to in taken and what == "customers"):
            left_out.append(name)
            continue
        if to in taken or (to == "event" and event is not None):
            to = name
        taken.add(to)
        columns.append(Column(name, to))
    return Mapped(what, tuple(columns), tuple(left_out), event)


def _one(what: What, name: str, words: Mapping[str, str], own: Mapping[str, str]) -> str | None:
    plain = _plain(name)
    if not plain:
        return None
    if name.startswith(PREFIXES) and what == "customers":
        return name
    if name in words.values():
        return name
    if plain in own:
        return own[plain]
    if (found := words.get(plain)) is not None:
        return found
    return name if what == "events" else None


def is_identifier(to: str) -> bool:
    """Whether a column that becomes this identifies somebody."""
    return to in KINDS or to.startswith("identity.")


def missing(mapped: Mapped) -> str | None:
    """What a file cannot do without and this one lacks, in words."""
    if not any(is_identifier(column.to) for column in mapped.columns):
        return (
            "no column identifies anybody; a mapping file says which one does (--write-mapping makes one "
            "to begin with)"
        )
    if mapped.what == "events":
        if mapped.event is None and mapped.of("event") is None:
            return "no column names the event; --event gives all rows one name, or a mapping says which"
        if mapped.of("occurred_at") is None:
            return "no column says when the events happened; a mapping says which one does (`occurred_at`)"
    return None


def _words(table: Mapping[str, str]) -> dict[str, str]:
    return {_plain(word): kind for kind, listed in table.items() for word in (*listed.split(), kind)}


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-./()\[\]:#*]+", "", unicodedata.normalize("NFKC", name).casefold())
