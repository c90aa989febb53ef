"""Writes the tables of docs/reference anew: `.venv/bin/python scripts/reference.py`."""

from pathlib import Path

from engine.language.reference import filled, pages

FOLDER = Path(__file__).parents[1] / "docs" / "reference"

if __name__ == "__main__":
    for name, tables in pages().items():
        page = FOLDER / name
        page.write_text(filled(page.read_text(encoding="utf-8"), tables), encoding="utf-8")
