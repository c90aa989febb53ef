"""Who calls for `webhook` steps: the secret that signs, and where they may reach.

In order: `channels.webhook.settings.secret` of kairos.yaml, `KAIROS_WEBHOOK_SECRET`, and else one made for
this machine and kept in the data folder, so that calls are signed from the first one on.

Steps reach the internet only, unless `channels.webhook.settings.allow_private` or `KAIROS_ALLOW_PRIVATE` says
otherwise: what a journey calls may have been written by people who are not to reach into our network.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from channels.registry import check_settings
from channels.webhook import WebhookAdapter, WebhookCaller, check_secret
from engine.language.installation import Installation
from engine.store.embedded import data_folder

VARIABLE = "KAIROS_WEBHOOK_SECRET"
ALLOW_PRIVATE = "KAIROS_ALLOW_PRIVATE"


def caller(installation: Installation, environ: Mapping[str, str] = os.environ) -> WebhookCaller:
    """Who makes the calls of `webhook` steps.

    Raises:
        ConfigurationError, ValueError: what is given is no Standard Webhooks secret.
    """
    public = not environ.get(ALLOW_PRIVATE)
    channel = installation.channel("webhook")
    if channel.adapter == WebhookAdapter.name:
        place = "kairos.yaml: channels.webhook.settings"
        settings = check_settings(WebhookAdapter.Settings, channel.settings, place, environ)
        if isinstance(settings, WebhookAdapter.Settings):
            public = public and not settings.allow_private
            return WebhookCaller(settings.secrets(), public=public)
    if secret := environ.get(VARIABLE):
        check_secret(secret)
        return WebhookCaller([secret], public=public)
    return WebhookCaller([kept_secret(data_folder())], public=public)


def kept_secret(folder: Path) -> str:
    """The secret of this machine, made at the first call; readable by its owner only."""
    path = folder / "webhook-secret"
    folder.mkdir(parents=True, exist_ok=True)
    made = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(made)
    except FileExistsError:
        return path.read_text(encoding="ascii").strip()
    return made
