"""How public pages look and speak: plain, without scripts, in the language of whoever reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from engine.web.public_words import WORDS, Language

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
}

_templates = Environment(
    loader=PackageLoader("engine.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def language(request: Request, *locales: str | None) -> Language:
    """The first of these locales that we speak, else what the browser asks for, else English."""
    asked = [part.partition(";")[0].strip() for part in request.headers.get("accept-language", "").split(",")]
    for locale in (*locales, *asked[:10]):
        for spoken in WORDS:
            if locale and locale.lower().replace("_", "-").partition("-")[0] == spoken:
                return spoken
    return "en"


def page(
    template: str,
    language: Language,
    *,
    status: int = 200,
    brand: str | None = None,
    headers: Mapping[str, str] | None = None,
    **values: Any,
) -> Response:
    """A page as HTML."""
    text = _templates.get_template(template).render(
        lang="zh-CN" if language == "zh" else language, t=WORDS[language], brand=brand or "", **values
    )
    return HTMLResponse(text, status, {**HEADERS, **(headers or {})})


def problem(request: Request, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """A page that says what is wrong, and nothing about anybody."""
    spoken = language(request)
    titled = WORDS[spoken].get(f"title_{status}", WORDS[spoken]["title_400"])
    said = WORDS[spoken].get(f"said_{status}", WORDS[spoken]["said_400"])
    return page(
        "public_notice.html", spoken, status=status, headers=headers, title=titled, said=said, link=None
    )
