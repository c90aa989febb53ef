"""What the adapters declare, as tables for the docs.

    python -m channels.features docs/channels        writes them between the markers in the pages

A test compares the pages with these tables, so neither can drift from the code.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from channels.audiences import AudienceAdapter
from channels.audiences import find as find_audience
from channels.port import ANY_CHANNEL, Adapter, Capabilities
from channels.registry import find

SHIPPED = (
    "outbox",
    "smtp",
    "resend",
    "aliyun_sms",
    "tencent_sms",
    "twilio",
    "fcm",
    "apns",
    "jpush",
    "apprise",
    *("wechat", "wechat_miniprogram", "wecom", "alipay", "alipay_miniprogram"),
    "webhook",
)


AUDIENCES = ("meta_audience", "tencent_ads", "file_drop")


def audiences_matrix(adapters: Sequence[type[AudienceAdapter]]) -> str:
    """One row an adapter: what it knows people by, and how many go in one call."""
    rows = [["adapter", "knows people by", "people in one call"], ["---", "---", "---"]]
    rows += [[f"[`{a.name}`]({a.name}.md)", ", ".join(a.kinds), f"{a.batch:,}"] for a in adapters]
    return _table(rows)


def matrix(adapters: Sequence[type[Adapter]]) -> str:
    """Capabilities as rows, adapters as columns."""
    rows = [["", *(f"[`{a.name}`]({a.name}.md)" for a in adapters)], ["---", *("---" for _ in adapters)]]
    served = ["any" if a.channels == ANY_CHANNEL else ", ".join(sorted(a.channels)) for a in adapters]
    rows.append(["Channels", *served])
    for capability in fields(Capabilities):
        marks = ["yes" if getattr(a.capabilities, capability.name) else "–" for a in adapters]
        rows.append([f"{capability.metadata['about']} (`{capability.name}`)", *marks])
    return _table(rows)


def settings(adapter: type[Adapter | AudienceAdapter]) -> str:
    """One row a setting, as written in `kairos.yaml`."""
    rows = [["setting", "default", "meaning"], ["---", "---", "---"]]
    for name, declared in adapter.Settings.model_fields.items():
        choices = _choices(declared)
        about = f"{declared.description or ''}{f' ({choices})' if choices else ''}"
        rows.append([f"`{declared.alias or name}`", _default(declared), about])
    return _table(rows) if len(rows) > 2 else "It has no settings."


def _default(declared: FieldInfo) -> str:
    if declared.default_factory is not None or declared.default is None:
        return "none"
    return "needed" if declared.default is PydanticUndefined else f"`{declared.default}`"


def _choices(declared: FieldInfo) -> str:
    kind = declared.annotation
    return ", ".join(f"`{c}`" for c in get_args(kind)) if get_origin(kind) is Literal else ""


def _table(rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def put(page: str, name: str, table: str) -> str:
    """The page with `table` between the markers of this name. ValueError without them."""
    start, end = f"<!-- {name}: generated -->", f"<!-- {name}: end -->"
    before, found, rest = page.partition(start)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"no markers for {name}")
    return f"{before}{start}\n{table}\n{end}{after}"


def pages(folder: Path) -> dict[Path, str]:
    """Every page with its tables as they should be."""
    adapters = [find(name) for name in SHIPPED]
    index = folder / "README.md"
    wanted = {index: put(index.read_text("utf-8"), "features", matrix(adapters))}
    audiences = [find_audience(name) for name in AUDIENCES]
    page = folder / "audiences.md"
    wanted[page] = put(page.read_text("utf-8"), "audiences", audiences_matrix(audiences))
    every: list[type[Adapter | AudienceAdapter]] = [*adapters, *audiences]
    for adapter in every:
        page = folder / f"{adapter.name}.md"
        wanted[page] = put(page.read_text("utf-8"), "settings", settings(adapter))
    return wanted


if __name__ == "__main__":
    for path, text in pages(Path(sys.argv[1])).items():
        path.write_text(text, "utf-8")
