"""Pages that are made while the site is built (a hook of MkDocs): the API reference, and sources.

The rooms of the reference are the packages inside ``jaxnets``, and a page shows what the room's
``__all__`` names, so that the reference follows the package by itself. The pages link to source
files by relative paths, which a code host resolves; for the site each linked file becomes a page.
"""

import ast
import json
import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "jaxnets"
LINK = re.compile(r"\]\(((?:\.\./)+(?:jaxnets|experiments|notebooks|tests)/[^)#\s]+)\)")


def rooms() -> list[str]:
    """The public packages inside ``jaxnets``, in alphabetical order."""
    return sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def summary(room: str) -> str:
    """The first sentence of the room's docstring."""
    tree = ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or "").split("\n\n")[0].replace("\n", " ")


def shadowed(room: str) -> list[str]:
    """Functions that bear the name of a module of the room, which would be shown in their place."""
    tree = ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))
    modules = {path.stem for path in (PACKAGE / room).iterdir()}
    return [
        f"{node.module}.{alias.name}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if alias.name in modules and node.module != f"jaxnets.{room}"
    ]


def reference(room: str) -> str:
    """The Markdown of one room; mkdocstrings fills it in."""
    parts = [f"# jaxnets.{room}", f"::: jaxnets.{room}"]
    options = "    options:\n      show_root_heading: true\n      show_root_toc_entry: true"
    parts += [f"::: {name}\n{options}" for name in shadowed(room)]
    return "\n\n".join(parts) + "\n"


def reference_index() -> str:
    """The page that lists the rooms."""
    lines = [
        "# API reference",
        "",
        "One page a room of the package. What a page does not show is internal and may change.",
        "",
        "| room | what it holds |",
        "|---|---|",
    ]
    lines += [f"| [`jaxnets.{room}`]({room}.md) | {summary(room)} |" for room in rooms()]
    return "\n".join(lines) + "\n"


def source_target(link: str, page: str) -> str:
    """The path in the repository that a page's relative link leads to."""
    return posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), link))


def source_page(target: str) -> str:
    """The Markdown that shows a source file or the cells of a notebook."""
    text = (ROOT / target).read_text(encoding="utf-8")
    head = f"---\nsearch:\n  exclude: true\nhide:\n  - navigation\n---\n\n# {target}\n\n"
    if not target.endswith(".ipynb"):
        return f"{head}``````python\n{text}\n``````\n"
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        parts.append(f"``````python\n{source}\n``````" if cell["cell_type"] == "code" else source)
    return head + "\n\n".join(parts) + "\n"


def on_config(config):
    """Append the reference to the navigation."""
    pages = [{f"jaxnets.{room}": f"reference/{room}.md"} for room in rooms()]
    config.nav.append({"API reference": ["reference/index.md", *pages]})
    return config


def on_files(files, config):
    """Add the pages, which exist in memory only."""
    targets = {
        source_target(link, file.src_uri)
        for file in files.documentation_pages()
        for link in LINK.findall(Path(file.abs_src_path).read_text(encoding="utf-8"))
    }
    for target in sorted(targets):
        page = File.generated(config, f"source/{target}.md", content=source_page(target))
        files.append(page)
    files.append(File.generated(config, "reference/index.md", content=reference_index()))
    for room in rooms():
        files.append(File.generated(config, f"reference/{room}.md", content=reference(room)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Lead links to source files to the pages made of them."""

    def relative(match: re.Match) -> str:
        target = source_target(match.group(1), page.file.src_uri)
        here = posixpath.dirname(page.file.src_uri)
        return f"]({posixpath.relpath(f'source/{target}.md', here or '.')})"

    if page.file.src_uri.startswith("source/"):
        return markdown
    return LINK.sub(relative, markdown)
