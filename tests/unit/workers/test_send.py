"""Which channels `kairos dev` serves when settings are wrong."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest

from engine.language.installation import ChannelSettings, Installation
from workers.channels import usable_channels

NO_DATABASE = cast(Any, None)


def test_a_channel_with_wrong_settings_is_left_out_and_said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SMTP_PASSWORD", raising=False)
    smtp: dict[str, Any] = {"host": "127.0.0.1", "from": "a@example.com", "username": "a"}
    wrong = ChannelSettings(adapter="smtp", settings={**smtp, "password": "${SMTP_PASSWORD}"})
    installation = Installation(channels={"email": wrong})

    with caplog.at_level(logging.ERROR):
        assert usable_channels(NO_DATABASE, installation, ["email", "sms"]) == ["sms"]

    assert "email" in caplog.text
    assert "SMTP_PASSWORD is not set" in caplog.text
