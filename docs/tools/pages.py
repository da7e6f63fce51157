"""The pages of the documentation, as files of the repository."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""Of the repository."""

API = ROOT / "docs" / "api"
"""Of the pages that are made from the docstrings; not kept."""


def find_pages() -> list[Path]:
    """Every Markdown page, the README first."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
