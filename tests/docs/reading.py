"""The pages of the documentation and what is in them, read once."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
# Written before a block that is read but not run: <!-- not run: why -->
NOT_RUN = re.compile(r"<!-- not run: (.+?) -->\s*$")


def page_id(path: Path) -> str:
    """How a page is called in messages: its path in the repository."""
    return str(path.relative_to(ROOT))


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, text, first line, and why it is not run, if it is not."""

    language: str
    text: str
    line: int
    not_run: str | None


def read_page(path: Path) -> tuple[list[Block], str]:
    """A page's blocks, and its prose with the blocks left out (line numbers are kept)."""
    blocks: list[Block] = []
    prose: list[str] = []
    language, start, inside, before = "", 0, None, ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            if inside is None:
                language, start, inside = line.strip().strip("`"), number, []
            else:
                reason = NOT_RUN.search(before)
                text = "\n".join(inside) + "\n"
                blocks.append(Block(language, text, start, reason and reason.group(1)))
                inside = None
            prose.append("")
        elif inside is not None:
            inside.append(line)
            prose.append("")
        else:
            prose.append(line)
            if line.strip():
                before = line
            continue
        if inside is None:
            before = ""
    assert inside is None, f"{page_id(path)}: a block is not closed"
    return blocks, "\n".join(prose)
