"""Make tests/vectors/wechat_calls.json with wechatpy, an independent and widely used SDK.

    uv run --group vectors python scripts/vectors_wechat.py

Random bytes go into each message: a second run makes other vectors, which are as good.
"""

import json
from pathlib import Path

import xmltodict
from wechatpy.crypto import WeChatCrypto
from wechatpy.enterprise.crypto import WeChatCrypto as EnterpriseCrypto
from wechatpy.utils import WeChatSigner

TARGET = Path(__file__).parents[1] / "tests" / "vectors" / "wechat_calls.json"
TOKEN = "QDG6eK"
KEY = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
NONCE = "1372623149"
TIMESTAMP = "1794391200"
FOLLOW = (
    "<xml><ToUserName><![CDATA[gh_3c884a361561]]></ToUserName>"
    "<FromUserName><![CDATA[oIqRW6xCq9kqGpDJf8cBvZ5d7w0I]]></FromUserName>"
    "<CreateTime>1794391200</CreateTime><MsgType><![CDATA[event]]></MsgType>"
    "<Event><![CDATA[subscribe]]></Event><EventKey><![CDATA[qrscene_春茶]]></EventKey></xml>"
)


def sealed(machine, receiver: str, words: str) -> dict[str, str]:
    fields = xmltodict.parse(machine.encrypt_message(words, NONCE, TIMESTAMP))["xml"]
    return {
        "receiver": receiver,
        "timestamp": TIMESTAMP,
        "nonce": NONCE,
        "encrypt": fields["Encrypt"],
        "msg_signature": fields["MsgSignature"],
        "plain": words,
    }


def main() -> None:
    signer = WeChatSigner()
    signer.add_data(TOKEN, TIMESTAMP, NONCE)
    app, corp = "wx2c2769f8efd9abc2", "ww5823bf96d3bd56c7"
    wechat, enterprise = WeChatCrypto(TOKEN, KEY, app), EnterpriseCrypto(TOKEN, KEY, corp)
    # Lengths around a whole block: there the padding is a block of its own.
    texts = [FOLLOW, "", *("茶" * n for n in range(1, 12)), "x" * 1000]
    document = {
        "about": "Calls of WeChat and WeCom as wechatpy 1.8.18 encrypts and signs them.",
        "token": TOKEN,
        "key": KEY,
        "plain_signature": {"timestamp": TIMESTAMP, "nonce": NONCE, "signature": signer.signature},
        "vectors": [
            *(sealed(wechat, app, words) for words in texts),
            *(sealed(enterprise, corp, words) for words in texts),
        ],
    }
    TARGET.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
