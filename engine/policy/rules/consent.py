"""`no_consent`: the customer has not said yes, or has said no.

`opt_in`: no record means no. `opt_out`: no record means yes. `not_needed`: only a withdrawal counts that
was given for this very category. A message with a purpose goes by the latest word that speaks for it.
"""

from __future__ import annotations

from engine.policy.request import Closed, Finding, Profile, Request, Settings


def needs_consent(request: Request, channel: str, profile: Profile, settings: Settings) -> Finding:
    granted = profile.consents.get((channel, request.category))
    if request.purpose is not None:
        granted = profile.purposes.get((channel, request.category, request.purpose), granted)
    if granted is None:
        granted = settings.consent.get(request.category, "opt_in") != "opt_in"
    return None if granted else Closed("no_consent")
