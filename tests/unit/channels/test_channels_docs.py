"""The pages say what the code does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from channels import DeliveryState, Rate, Reason, find, names
from channels.features import SHIPPED, pages, put
from channels.registry import examine

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"


def test_generated_tables_are_up_to_date() -> None:
    stale = [path.name for path, text in pages(DOCS / "channels").items() if path.read_text("utf-8") != text]
    assert stale == [], "run: python -m channels.features docs/channels"


def test_every_shipped_adapter_has_a_file_a_page_and_a_conformance_test() -> None:
    ours = {name for name in names() if find(name).__module__.startswith("channels.")}
    assert ours == set(SHIPPED)
    for name in ours:
        assert (ROOT / "channels" / f"{name}.py").is_file()
        assert (DOCS / "channels" / f"{name}.md").is_file()
        assert (ROOT / "tests" / "conformance" / f"test_{name}.py").is_file()


@pytest.mark.parametrize("name", SHIPPED)
def test_the_entry_of_a_page_can_be_copied(name: str) -> None:
    text = (DOCS / "channels" / f"{name}.md").read_text("utf-8")
    entry = re.search(r"^```yaml\n(channels:\n.*?)^```$", text, re.M | re.S)
    assert entry is not None
    for channel, given in yaml.load(entry[1], yaml.BaseLoader)["channels"].items():
        assert given["adapter"] == name
        assert examine(name, channel, given.get("settings", {})) == []
        if "rate" in given:
            Rate.parse(given["rate"])


def test_every_reason_is_listed() -> None:
    text = (DOCS / "channels" / "README.md").read_text("utf-8")
    assert [r.value for r in Reason if f"`{r.value}`" not in text] == []


def test_delivery_states_cover_the_events_that_journeys_wait_for() -> None:
    assert {"delivered", "opened", "clicked", "bounced", "complained", "replied", "failed"} <= set(
        DeliveryState
    )


def test_a_page_without_markers_is_an_error() -> None:
    with pytest.raises(ValueError, match="no markers"):
        put("text", "features", "table")


def test_the_tutorial_s_adapter_passes_the_conformance_suite(tmp_path: Path) -> None:
    text = (DOCS / "adding-a-channel.md").read_text("utf-8")
    blocks = dict(re.findall(r"^## [^\n]*`(\w+\.py)`$.*?^```python\n(.*?)^```$", text, re.M | re.S))
    assert sorted(blocks) == ["acme.py", "test_acme.py"]
    for name, code in blocks.items():
        (tmp_path / name).write_text(code, "utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "."],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    assert re.search(r"2\d passed", run.stdout), run.stdout
