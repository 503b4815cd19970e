"""Lays out the pages of the site, and builds it: `make docs` fails on a link that leads nowhere.

mkdocs takes one folder, and pages of `docs/` link to recipes and examples beside it: all of them go to
`build/site-pages` as they lie in the repository, with an index of the notes, and a page of each record.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from laconic import __version__
from laconic.page.record import record_page

ROOT = Path(__file__).resolve().parents[1]
PAGES = Path("build/site-pages")
FOLDERS = ("docs", "recipes", "examples")
FILES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE")


def laid_out(root: Path, pages: Path) -> None:
    """Copy all that pages link to, and nothing that an earlier run has left."""
    shutil.rmtree(pages, ignore_errors=True)
    pages.mkdir(parents=True)
    for folder in FOLDERS:
        shutil.copytree(root / folder, pages / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(root / name, pages / name)
    records = sorted((pages / "recipes").glob("*.json"))
    for path in records:
        record = json.loads(path.read_text(encoding="utf-8"))
        shown = record_page(path.stem, record, f"{path.name}, laconic {__version__}")
        path.with_suffix(".html").write_text(shown, encoding="utf-8")
    listed = "\n".join(f"- [{path.stem}]({path.stem}.html)" for path in records)
    text = f"# Records\n\nWhat recipes and benchmarks have measured, as they wrote it: a page each.\n\n{listed}\n"
    (pages / "recipes" / "records.md").write_text(text, encoding="utf-8")


def built(root: Path) -> int:
    """Build the site of what is laid out below a folder that has `mkdocs.yml`, and return 0, or 1 for a broken link."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(root / "mkdocs.yml")]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    laid_out(ROOT, ROOT / PAGES)
    sys.exit(built(ROOT))
