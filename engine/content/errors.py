"""What can be wrong with a template: before it is used, and for one customer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class TemplateProblem:
    """A mistake in a template file. `line` and `column` count from 1.

    `code` is one of `CODES`; `warning` is legal but odd.
    """

    path: str
    line: int
    column: int
    code: str
    message: str
    expected: str | None = None
    hint: str | None = None
    severity: Literal["error", "warning"] = "error"


CODES: dict[str, str] = {
    "syntax": "the template is not Jinja2, or uses a part of it that is not offered",
    "unknown-variable": "a name that templates do not see",
    "unknown-property": "a property that the catalogue, the trigger or the event does not have",
    "null": "a value that is seen to be null, without a default",
    "missing-part": "a part that the channel needs is not there",
    "unknown-part": "a part that the channel does not have",
    "too-long": "a text message over its length, or a template over its size",
    "json": "a JSON part that cannot parse after rendering",
    "layout": "a layout or block that is missing, ends in itself, or is not named literally",
    "segments": "a text message that may take many segments",
    "signature": "a signature that is not the provider's",
    "opt-out": "a marketing text that does not tell the way out",
    "url-in-variable": "a URL where the provider takes none",
    "not-approved": "a text that fits no approved template",
    "field": "a field that breaks the rule of its kind",
    "advertising": "marketing where the provider forbids it",
    "no-way-out": "a marketing e-mail without a link to unsubscribe",
    "html-size": "HTML beyond what mail programs show",
    "no-text": "a text part with nothing in it",
    "styles": "styles that are written into each message by itself",
    "may-be-missing": "a value that a customer may not have, without a default",
    "variant": "a variant or locale that is not declared, or cannot be chosen",
}


class RenderError(Exception):
    """This message cannot be rendered for this customer: skip reason `render`.

    The text names the part and what is missing, never a value of the customer.
    """

    reason = "render"

    def __init__(self, message: str, part: str | None = None) -> None:
        super().__init__(f"{part}: {message}" if part else message)
        self.message = message
        self.part = part
