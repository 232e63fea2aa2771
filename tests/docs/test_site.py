"""The documentation as a site: it builds without a warning, with a page for every room."""

import os
import re
import subprocess
import sys

from reading import ROOT

import jaxnets


def test_site_builds_whole_and_without_a_warning(tmp_path):
    # One test, so that the site is built once, on however many workers.
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    every_room_has_a_page_with_what_it_offers(tmp_path)
    nothing_is_loaded_from_elsewhere(tmp_path)


def every_room_has_a_page_with_what_it_offers(site):
    rooms = sorted(path.parent.name for path in (ROOT / "jaxnets").glob("*/__init__.py"))
    assert rooms
    for room in rooms:
        html = (site / "reference" / room / "index.html").read_text()
        shown = set(re.findall(rf'id="jaxnets\.{room}\.(?:\w+\.)*(\w+)"', html))
        module = getattr(jaxnets, room)
        described = {name for name in module.__all__ if is_described(module, name)}
        assert described <= shown, f"jaxnets.{room}: {sorted(described - shown)} not in the page"
        assert not {name for name in shown if re.match("_[a-z]", name)}


def is_described(module, name: str) -> bool:
    """Functions and classes of this package; constants have no docstring of their own."""
    value = getattr(module, name)
    return callable(value) and getattr(value, "__module__", "").startswith("jaxnets.")


def nothing_is_loaded_from_elsewhere(site):
    for page in ("index.html", "reference/nn/index.html", "guide/task/index.html"):
        html = (site / page).read_text()
        loaded = re.findall(r'<(?:script|img|link)[^>]*(?:src|href)="(https?:[^"]+)"', html)
        assert [url for url in loaded if "canonical" not in url] == []
