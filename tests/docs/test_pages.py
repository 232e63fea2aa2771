"""What the pages say of the code: names resolve, files exist, the course map is whole."""

import importlib
import pkgutil
import re

import pytest
from reading import PAGES, ROOT, page_id, read_page

import jaxnets
from jaxnets.errors import ALIASES

FOLDERS = ("jaxnets", "experiments", "tests", "docs", "notebooks", ".ci")
ROOMS = {module.name for module in pkgutil.iter_modules(jaxnets.__path__)}
# Endings of files that begin like a room's name (metrics.jsonl).
FILES = {"json", "jsonl", "md", "npz", "png", "py"}
# Packages whose names the pages use.
LIBRARIES = ("jax", "flax", "optax", "numpy", "orbax")
# Written names of the past, in a table of their own.
HISTORY = {"CHANGELOG.md"}


def backticked(path) -> list[tuple[int, str]]:
    """(line, text) of every inline code span."""
    prose = read_page(path)[1]
    return [
        (number, span)
        for number, line in enumerate(prose.splitlines(), 1)
        for span in re.findall(r"`([^`]+)`", line)
    ]


def resolve(name: str) -> bool:
    """Whether a dotted name can be had after ``import jaxnets``, imports of its parts allowed."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            fields = getattr(value, "__dataclass_fields__", {})
            if part in fields or part in getattr(value, "_fields", ()):
                return True
            if not hasattr(value, part):
                return False
            value = getattr(value, part)
        return True
    return False


def names_of(span: str) -> list[str]:
    """The dotted names at the start of a code span that are this package's or a library's."""
    found = re.match(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)(?![\w./-])", span)
    if not found:
        return []
    name = found.group(1)
    if name.rsplit(".", 1)[1] in FILES:
        return []
    first = name.split(".")[0]
    if first in ("jaxnets", *LIBRARIES):
        return [name]
    if first == "notebooks":
        return []
    if first == "experiments":
        return [name]
    return [f"jaxnets.{name}"] if first in ROOMS else []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_dotted_names_resolve(page):
    if page.name in HISTORY:
        text = re.sub(r"\| `[^|]*\|(?= )", "| ", read_page(page)[1])  # the column of old names
        spans = [(0, span) for span in re.findall(r"`([^`]+)`", text)]
    else:
        spans = backticked(page)
    wrong = [
        f"{page_id(page)}:{line}: {name}"
        for line, span in spans
        for name in names_of(span)
        if not resolve(name)
    ]
    assert wrong == []


def test_the_check_of_names_notices_a_wrong_one():
    assert names_of("train.no_such_name(x)") == ["jaxnets.train.no_such_name"]
    assert not resolve("jaxnets.train.no_such_name")
    assert resolve("jaxnets.train.Task.inputs")
    assert names_of("summary.json") == []
    assert names_of("optim.lbfgs") == ["jaxnets.optim.lbfgs"]


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_paths_exist(page):
    wrong = []
    for line, span in backticked(page):
        path = re.fullmatch(r"([\w.]+(?:/[\w.*]+)+/?)(?:::\w+)?", span)
        ours = path and span.split("/")[0] in FOLDERS and "*" not in span
        if ours and not (ROOT / path.group(1)).exists():
            wrong.append(f"{page_id(page)}:{line}: {span}")
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page):
    prose = read_page(page)[1]
    wrong = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"(https?|mailto):", link):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        relative = path.relative_to(ROOT / "docs") if path.is_relative_to(ROOT / "docs") else None
        if relative and relative.parts[0] == "reference":  # made with the site
            if relative.stem not in ROOMS | {"index"}:
                wrong.append(link)
        elif not path.exists() or (anchor and anchor not in anchors(path)):
            wrong.append(link)
    assert wrong == [], page_id(page)


def anchors(path) -> set[str]:
    """The anchors of a Markdown page's headings."""
    headings = re.findall(r"^#+ (.+)$", read_page(path)[1], re.M)
    plain = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings]
    return {re.sub(r"[\s]+", "-", heading) for heading in plain}


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_course_map_covers_every_topic():
    wanted = (ROOT / "tests" / "docs" / "course_topics.txt").read_text().splitlines()
    chapters: dict[str, list[str]] = {}
    for line in filter(None, wanted):
        if line.startswith("# "):
            chapters[line[2:]] = []
        else:
            chapters[list(chapters)[-1]].append(line)
    mapped: dict[str, dict[str, str]] = {}
    for line in (ROOT / "docs" / "course_map.md").read_text().splitlines():
        if line.startswith("## "):
            mapped[line[3:]] = {}
        elif line.startswith("| ") and not line.startswith("| topic"):
            topic, where = line.strip("| ").split(" | ")
            mapped[list(mapped)[-1]][topic] = where
    assert {name: list(topics) for name, topics in mapped.items()} == chapters
    assert sum(map(len, chapters.values())) == 195
    for topics in mapped.values():
        for topic, where in topics.items():
            assert "](" in where or "*planned*" in where, topic


def test_course_map_links_to_where_a_name_is_defined():
    text = (ROOT / "docs" / "course_map.md").read_text()
    wrong = []
    for name, link in re.findall(r"\[`([\w.]+)`\]\(\.\./([^)]+)\)", text):
        last, stem = name.split(".")[-1], link.split("/")[-1].split(".")[0]
        package = link.removeprefix("jaxnets/").startswith(name.replace(".", "/"))
        defined = rf"(def|class) {last}\b|^{last} = |\"{last}\""  # or a claim of this name
        if last != stem and not package and not re.search(defined, (ROOT / link).read_text(), re.M):
            wrong.append(f"{name} is not in {link}")
    assert wrong == []


def test_errata_explain_every_alias():
    first = read_page(ROOT / "docs" / "errata.md")[1].split("## Formulas")[0].lower()
    rows = [line for line in first.splitlines() if line.startswith("| ")]
    written = " ".join(row.split(" | ")[0] for row in rows)
    for alias in ALIASES:
        assert re.search(rf"\b{alias}\b", written), alias
