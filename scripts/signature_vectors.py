"""Make the vectors of signatures in tests/vectors with the providers' own SDKs.

    .venv/bin/python scripts/signature_vectors.py

`aliyun_acs3.json` by alibabacloud-tea-openapi, `tencent_tc3.json` by tencentcloud-sdk-python-common.
`twilio_signatures.json` is not made here: it holds the examples of Twilio's documentation and SDK tests.
"""

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

from alibabacloud_tea_openapi.utils import Utils
from tencentcloud.common.abstract_client import AbstractClient
from tencentcloud.common.http.request import RequestInternal

VECTORS = Path(__file__).resolve().parents[1] / "tests" / "vectors"
EMPTY = hashlib.sha256(b"").hexdigest()


def aliyun(name: str, key_id: str, secret: str, action: str, query: dict[str, str]) -> dict[str, object]:
    headers = {
        "host": "dysmsapi.aliyuncs.com",
        "x-acs-action": action,
        "x-acs-version": "2017-05-25",
        "x-acs-date": "2026-11-11T02:00:00Z",
        "x-acs-signature-nonce": "d410180a5abf7fe235dd9b74aca91fc0",
        "x-acs-content-sha256": EMPTY,
    }
    request = SimpleNamespace(method="POST", pathname="/", query=query, headers=headers)
    authorization = Utils.get_authorization(request, "ACS3-HMAC-SHA256", EMPTY, key_id, secret)
    return {
        "name": name,
        "key_id": key_id,
        "secret": secret,
        "query": query,
        "headers": headers,
        "authorization": authorization,
    }


def tencent(
    name: str, secret_id: str, secret: str, timestamp: int, date: str, body: str
) -> dict[str, object]:
    client = AbstractClient.__new__(AbstractClient)
    request = RequestInternal("sms.tencentcloudapi.com", "POST", "/")
    request.header = {
        "Content-Type": "application/json",
        "Host": "sms.tencentcloudapi.com",
        "X-TC-Timestamp": str(timestamp),
    }
    request.data = body
    signature = client._get_tc3_signature({}, request, date, "sms", secret)
    return {
        "name": name,
        "secret_id": secret_id,
        "secret": secret,
        "host": "sms.tencentcloudapi.com",
        "timestamp": timestamp,
        "body": body,
        "authorization": f"TC3-HMAC-SHA256 Credential={secret_id}/{date}/sms/tc3_request, "
        f"SignedHeaders=content-type;host, Signature={signature}",
    }


def write(name: str, about: str, vectors: list[dict[str, object]]) -> None:
    text = json.dumps({"about": about, "vectors": vectors}, ensure_ascii=False, indent=2)
    (VECTORS / name).write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    write(
        "aliyun_acs3.json",
        "ACS3-HMAC-SHA256 over RPC calls, made by alibabacloud-tea-openapi: scripts/signature_vectors.py.",
        [
            aliyun("no variables", "LTAI5tExample", "a-secret", "SendSms", {"PhoneNumbers": "13800000000"}),
            aliyun(
                "Chinese, spaces and marks",
                "LTAI5tExample",
                "a-secret",
                "SendSms",
                {
                    "PhoneNumbers": "13800000000",
                    "SignName": "南寻茶馆",
                    "TemplateCode": "SMS_154950909",
                    "TemplateParam": '{"item": "龙井 & 白茶 *+~/?=%"}',
                    "OutId": "0b7c4d5e-1111-5222-8333-444455556666:remind",
                },
            ),
            aliyun(
                "asking",
                "LTAI5tOther",
                "密钥-not-ascii",
                "QuerySendDetails",
                {
                    "PhoneNumber": "85200000000",
                    "SendDate": "20261111",
                    "PageSize": "50",
                    "CurrentPage": "1",
                },
            ),
        ],
    )
    write(
        "tencent_tc3.json",
        "TC3-HMAC-SHA256 over POSTs of JSON, made by tencentcloud-sdk-python-common: "
        "scripts/signature_vectors.py.",
        [
            tencent("empty", "AKIDexample", "a-secret", 1794391200, "2026-11-11", "{}"),
            tencent(
                "Chinese",
                "AKIDexample",
                "a-secret",
                1794391200,
                "2026-11-11",
                '{"PhoneNumberSet":["+8613800000000"],"SignName":"南寻茶馆","TemplateParamSet":["龙井"]}',
            ),
            tencent("the last second of a day", "AKIDexample", "密钥", 1794441599, "2026-11-11", '{"a":1}'),
        ],
    )
