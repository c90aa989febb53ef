"""What the public pages say, in each language that they speak.

`VERSION` goes with every consent that is changed there: change it when the words change that people agree to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

Language = Literal["en", "zh"]

VERSION: Final = "2026-11"

WORDS: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "title_400": "This did not work",
        "said_400": "Please open the link in the message again.",
        "title_404": "This link leads nowhere",
        "said_404": "Perhaps a part of it is missing. Please open the link in the message again.",
        "title_410": "This link has expired",
        "said_410": "The message it came with is too old.",
        "title_413": "This did not work",
        "said_413": "Please open the link in the message again.",
        "title_429": "Too many attempts",
        "said_429": "Please wait a minute, then try again.",
        "title_503": "Just a moment",
        "said_503": "We cannot answer right now. Please try again in a minute.",
        "unsubscribe": "Unsubscribe",
        "unsubscribe_from": "Do you want to stop getting these messages?",
        "unsubscribe_said": "You will get no more marketing messages here:",
        "unsubscribed": "You are unsubscribed",
        "unsubscribed_said": "You will get no more marketing messages here:",
        "manage": "Choose what you get",
        "preferences": "Your messages",
        "preferences_said": "Tick what you would like to get. What is not ticked will not be sent.",
        "general": "News and offers",
        "save": "Save",
        "saved": "Saved. What you chose counts from now on.",
        "none": "Stop all marketing messages",
        "none_saved": "You will get no more marketing messages.",
        "needed": "Messages about what you ordered still come: they are no advertising.",
        "nobody": "There is nothing here any more",
        "nobody_said": "We have no data about you, and nothing is sent to you.",
        "channel_email": "E-mail",
        "channel_sms": "Text messages",
        "channel_push": "App notifications",
        "channel_wechat": "WeChat",
        "channel_wecom": "WeCom",
        "channel_alipay": "Alipay",
    },
    "zh": {
        "title_400": "操作未成功",
        "said_400": "请重新打开消息中的链接。",
        "title_404": "链接无效",
        "said_404": "链接可能不完整，请重新打开消息中的链接。",
        "title_410": "链接已过期",
        "said_410": "这条消息发送的时间太久了。",
        "title_413": "操作未成功",
        "said_413": "请重新打开消息中的链接。",
        "title_429": "尝试次数过多",
        "said_429": "请稍等一分钟再试。",
        "title_503": "请稍候",
        "said_503": "暂时无法处理，请一分钟后再试。",
        "unsubscribe": "退订",
        "unsubscribe_from": "不想再收到这类消息吗？",
        "unsubscribe_said": "退订后，您将不再通过以下方式收到营销消息：",
        "unsubscribed": "退订成功",
        "unsubscribed_said": "您将不再通过以下方式收到营销消息：",
        "manage": "选择想收到的消息",
        "preferences": "消息设置",
        "preferences_said": "请勾选您愿意收到的消息。没有勾选的，我们不会发送。",
        "general": "资讯与优惠",
        "save": "保存",
        "saved": "已保存，立即生效。",
        "none": "停止所有营销消息",
        "none_saved": "您将不再收到任何营销消息。",
        "needed": "与订单有关的服务通知不属于营销，仍会发送。",
        "nobody": "这里已没有您的信息",
        "nobody_said": "我们没有保存您的资料，也不会向您发送消息。",
        "channel_email": "电子邮件",
        "channel_sms": "短信",
        "channel_push": "App 通知",
        "channel_wechat": "微信",
        "channel_wecom": "企业微信",
        "channel_alipay": "支付宝",
    },
}
