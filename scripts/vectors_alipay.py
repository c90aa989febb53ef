"""Make tests/vectors/alipay_signatures.json with Alipay's own SDK.

    uv run --group vectors python scripts/vectors_alipay.py

The key pair is made for the file and used nowhere else.
"""

import base64
import json
from pathlib import Path

from alipay.aop.api.util.SignatureUtils import get_sign_content, sign_with_rsa2, verify_with_rsa
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

TARGET = Path(__file__).parents[1] / "tests" / "vectors" / "alipay_signatures.json"
TEXT = '新茶 & 旧友=好 "+/%"'
CONTENT = {"to_user_id": "2088102122458832", "msg_type": "text", "text": {"content": TEXT}}
COMMON = {
    "app_id": "2014072300007148",
    "method": "alipay.open.public.message.custom.send",
    "format": "JSON",
    "charset": "utf-8",
    "sign_type": "RSA2",
    "timestamp": "2026-11-11 18:00:00",
    "version": "1.0",
}
NODES = [
    '{"code":"10000","msg":"Success"}',
    '{ "msg" : "Success",\n  "code" : "10000", "message_id" : "a\\/b" }',
    '{"code":"40004","msg":"Business Failed","sub_code":"isv.x","sub_msg":"\\u7528\\u6237 \\"{}\\" 用户"}',
]


def main() -> None:
    key = rsa.generate_private_key(65537, 2048)
    private = base64.b64encode(
        key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    ).decode()
    modern = base64.b64encode(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())).decode()
    public = base64.b64encode(
        key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).decode()
    content = json.dumps(CONTENT, ensure_ascii=False, separators=(",", ":"))
    parameters = {**COMMON, "biz_content": content}
    text = get_sign_content(parameters)
    answers = []
    for node in NODES:
        signature = sign_with_rsa2(private, node, "utf-8")
        assert verify_with_rsa(public, node.encode(), signature)
        answers.append({"node": node, "sign": signature})
    call = {
        **{"service": "alipay.mobile.public.message.notify", "charset": "GBK", "sign_type": "RSA2"},
        "biz_content": "<XML><AppId>2014072300007148</AppId><MsgType>event</MsgType>"
        "<EventType>follow</EventType>"
        "<FromAlipayUserId>2088102122458832</FromAlipayUserId><CreateTime>1794391200000</CreateTime>"
        '<ActionParam>{"scene":{"sceneId":"春茶"}}</ActionParam></XML>',
    }
    document = {
        "about": "Requests, answers and calls as alipay-sdk-python 3.7 signs them (RSA2).",
        "private_key": private,
        "private_key_pkcs8": modern,
        "public_key": public,
        "request": {
            "content": CONTENT,
            "parameters": parameters,
            "text": text,
            "sign": sign_with_rsa2(private, text, "utf-8"),
        },
        "answers": answers,
        "calls": [
            {
                "keeps_sign_type": keeps,
                "parameters": {
                    **call,
                    "sign": sign_with_rsa2(
                        private,
                        get_sign_content({k: v for k, v in call.items() if keeps or k != "sign_type"}),
                        "gbk",
                    ),
                },
            }
            for keeps in (True, False)
        ],
    }
    TARGET.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
