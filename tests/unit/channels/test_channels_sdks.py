"""The providers' own SDKs are let in by our fakes: so what a fake lets in is what the provider would."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from alibabacloud_tea_openapi import models as aliyun_models
from alibabacloud_tea_openapi.client import Client as AliyunClient
from darabonba.runtime import RuntimeOptions
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

from channels.testing.aliyun_sms import FakeAliyunSms
from channels.testing.tencent_sms import FakeTencentSms


async def test_tencent_s_sdk() -> None:
    async with FakeTencentSms(
        "AKIDexample", "a-secret", "1400006666", "南寻茶馆", {"1": "您好，{1}"}
    ) as fake:

        def send() -> Any:
            profile = ClientProfile(
                httpProfile=HttpProfile(protocol="http", endpoint=f"127.0.0.1:{fake.port}", reqTimeout=3)
            )
            credential = Credential("AKIDexample", "a-secret")
            client = CommonClient("sms", "2021-01-11", credential, "ap-guangzhou", profile=profile)
            document = {
                "PhoneNumberSet": ["+8613800000000"],
                "SmsSdkAppId": "1400006666",
                "SignName": "南寻茶馆",
                "TemplateId": "1",
                "TemplateParamSet": ["梅"],
            }
            return client.call_json("SendSms", document)

        answer = await asyncio.to_thread(send)
        assert answer["Response"]["SendStatusSet"][0]["Code"] == "Ok"
        assert [m.text for m in fake.messages] == ["【南寻茶馆】您好，梅"]


async def test_aliyun_s_sdk() -> None:
    async with FakeAliyunSms("LTAI5tExample", "a-secret", "南寻茶馆", {"SMS_1": "您好，${name}"}) as fake:

        def send() -> Any:
            config = aliyun_models.Config(
                access_key_id="LTAI5tExample",
                access_key_secret="a-secret",
                endpoint=f"127.0.0.1:{fake.port}",
                protocol="http",
            )
            parameters = aliyun_models.Params(
                action="SendSms",
                version="2017-05-25",
                protocol="http",
                pathname="/",
                method="POST",
                auth_type="AK",
                style="RPC",
                req_body_type="formData",
                body_type="json",
            )
            query = {
                "PhoneNumbers": "13800000000",
                "SignName": "南寻茶馆",
                "TemplateCode": "SMS_1",
                "TemplateParam": json.dumps({"name": "梅 & 兰+*~"}),
            }
            request = aliyun_models.OpenApiRequest(query=query)
            return AliyunClient(config).call_api(parameters, request, RuntimeOptions(read_timeout=3000))

        answer = await asyncio.to_thread(send)
        assert answer["body"]["Code"] == "OK"
        assert [m.text for m in fake.messages] == ["【南寻茶馆】您好，梅 & 兰+*~"]
