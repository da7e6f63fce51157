"""The pages of the documentation, as files of the repository."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""Of the repository."""

API = ROOT / "docs" / "api"
"""Of the pages that are made from the docstrings; not kept."""


def find_pages() -> list[Path]:
    """Every Markdown page, the README first."""
    card = ROOT / "guided_jax" / "shipped" / "MODEL_CARD.md"
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", card, *sorted((ROOT / "docs").glob("*.md"))]
