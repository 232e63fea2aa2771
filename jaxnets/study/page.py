"""The page of all claims: Markdown, and one HTML file that needs nothing beside itself."""

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxnets.study.effects import DEPENDS, FAILS, HOLDS
from jaxnets.study.statistics import Interval
from jaxnets.study.tables import markdown_table, span, with_unit

ERROR = "error"
TITLE = "Claims, measured"
METHODS = {
    "t": "mean, t interval",
    "log": "geometric mean, t interval of the logarithms",
    "bootstrap": "median, bootstrap interval",
    "share": "share, Clopper-Pearson interval",
    "exact": "exact, no chance in it",
}
STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1f24; margin: 0 auto; max-width: 68rem;
  padding: 2rem 1.5rem; }
h1 { font-size: 2rem; margin: 0 0 .5rem; } h2 { font-size: 1.25rem; margin: 2.5rem 0 .3rem; }
p { margin: .4rem 0; } small, .dim { color: #59636e; }
table { border-collapse: collapse; width: 100%; margin: .8rem 0; font-size: .92rem; }
th { text-align: left; border-bottom: 2px solid #d1d9e0; padding: .35rem .5rem; }
td { border-bottom: 1px solid #e6eaef; padding: .35rem .5rem; vertical-align: top; }
th.n { text-align: right; }
td.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
img { max-width: 100%; height: auto; display: block; margin: .6rem 0; }
a { color: #0b57a4; text-decoration: none; } a:hover { text-decoration: underline; }
.v { display: inline-block; min-width: 4.6rem; text-align: center; border-radius: 1rem;
  padding: .05rem .5rem; font-weight: 600; font-size: .85rem; color: white; }
.holds { background: #00734f; } .fails { background: #b3261e; }
.depends { background: #8a5a00; } .error { background: #444; }
pre { background: #f6f8fa; padding: .8rem; overflow-x: auto; font-size: .8rem; }
section { break-inside: avoid; }
"""


def interval(row: Mapping[str, Any]) -> str:
    """The ends of an effect's interval, such as "[0.1, 0.4]"; "exact" where no chance is in it.

    Args:
        row: of a record's ``effects``.

    >>> interval({"keys": 5, "estimate": 0.25, "low": 0.1, "high": 0.4})
    '[0.1, 0.4]'
    """
    if row["keys"] == 0:
        return "exact"
    return span(Interval(row["estimate"], row["low"], row["high"]))


def value(row: Mapping[str, Any]) -> str:
    """An effect's estimate with its unit.

    Args:
        row: of a record's ``effects``.

    >>> value({"estimate": 0.25, "unit": "points"})
    '0.25 points'
    """
    return with_unit(row["estimate"], row["unit"])


def shown(record: Mapping[str, Any]) -> tuple[str, str]:
    """The first effect and its interval, as the page's summary shows them.

    Args:
        record: of `jaxnets.study.runner.run_claims`.
    """
    if "error" in record:
        return "–", "–"
    return value(record["effects"][0]), interval(record["effects"][0])


def verdict_of(record: Mapping[str, Any], mode: str = "full") -> str:
    """One of holds, fails, depends, error; of a run with few keys and steps marked as such.

    Args:
        record: of `jaxnets.study.runner.run_claims`.
        mode: "full", "quick" or "tiny".

    >>> verdict_of({"verdict": "holds"}), verdict_of({"error": "ValueError: …"})
    ('holds', 'error')
    >>> verdict_of({"verdict": "holds"}, "quick")
    'holds (quick)'
    """
    verdict = ERROR if "error" in record else record["verdict"]
    return verdict if mode == "full" else f"{verdict} ({mode})"


def claimed(record: Mapping[str, Any]) -> str:
    """The region that the claim puts its first effect in, as the page's summary shows it.

    Args:
        record: of `jaxnets.study.runner.run_claims`.

    >>> claimed({"effects": [{"claimed": "> 0"}]}), claimed({"error": "ValueError: …"})
    ('> 0', '–')
    """
    if "error" in record:
        return "–"
    return record["effects"][0]["claimed"] or "–"


def introduction(records: Mapping[str, Mapping], mode: str, machine: str) -> list[str]:
    """Paragraphs that the reader needs before the table.

    Args:
        records: by name.
        mode: "full", "quick" or "tiny".
        machine: on which they were measured.
    """
    counts = {v: sum(verdict_of(r) == v for r in records.values()) for v in _ORDER}
    said = ", ".join(f"{v} {count}" for v, count in counts.items() if count)
    minutes = sum(r["seconds"] for r in records.values()) / 60
    paragraphs = [
        f"{len(records)} claims: {said}. Small networks, a few random keys each; a verdict is "
        "computed from the 95 % interval of the measured effect: the whole interval lies where the "
        "claim says (holds), outside of it (fails), or reaches over the limit, or the parts of the "
        "claim disagree (depends).",
        f"Measured in {minutes:.1f} minutes on {machine}. At 95 % about one interval in twenty "
        "misses the true value, so among so many a wrong verdict or two is to be expected; and "
        "what holds for small networks need not hold for large ones.",
    ]
    if mode == "quick":
        paragraphs.insert(
            0,
            "A quick run: few keys, few steps, 8×8 digits. It shows that everything works; for "
            "verdicts make a full run.",
        )
    return paragraphs


_ORDER = (HOLDS, FAILS, DEPENDS, ERROR)


def markdown(records: Mapping[str, Mapping], mode: str, machine: str, *, title: str = TITLE) -> str:
    """The page in Markdown; figures lie in figures/NAME.png.

    Args:
        records: by name.
        mode: "full", "quick" or "tiny".
        machine: on which they were measured.
        title: of the page.
    """
    lines = [f"# {title}", ""]
    for paragraph in introduction(records, mode, machine):
        lines += [paragraph, ""]
    rows = [
        (
            f"[{r['sentence']}](#{name})",
            *shown(r),
            claimed(r),
            f"**{verdict_of(r, mode)}**",
            f"{r['seconds']:.0f} s",
        )
        for name, r in records.items()
    ]
    header = ("claim", "measured", "95 % interval", "claimed", "verdict", "time")
    align = ("left", "right", "left", "left", "left", "right")
    lines.append(markdown_table(header, rows, align=align).rstrip())
    for name, r in records.items():
        lines += ["", f'<a id="{name}"></a>', "", f"## {r['sentence']}", ""]
        lines += [f"**{verdict_of(r, mode)}** · {_source(name, r)}", "", r["experiment"], ""]
        if "error" in r:
            lines += ["```", r["traceback"].rstrip(), "```"]
            continue
        lines += [f"Verdict: {r['reason']}.", ""]
        header = ("measured", "effect", "95 % interval", "claimed", "verdict")
        align = ("left", "right", "left", "left", "left")
        lines += [markdown_table(header, _rows(r), align=align)]
        lines += [f"![{r['sentence']}](figures/{name}.png)", ""]
        lines += [f"- {remark}" for remark in r["remarks"]]
        lines += ["", f"<small>{_conditions(r)}</small>"]
    return "\n".join(lines) + "\n"


def to_html(records: Mapping[str, Mapping], mode: str, machine: str, *, title: str = TITLE) -> str:
    """The page as HTML with everything inside.

    Args:
        records: by name.
        mode: "full", "quick" or "tiny".
        machine: on which they were measured.
        title: of the page.
    """
    e = html.escape
    parts = [f"<h1>{e(title)}</h1>"]
    parts += [f"<p>{e(p)}</p>" for p in introduction(records, mode, machine)]
    parts.append(
        '<table><thead><tr><th>claim</th><th class="n">measured</th>'
        '<th class="n">95 % interval</th><th class="n">claimed</th>'
        '<th>verdict</th><th class="n">time</th></tr></thead><tbody>'
    )
    for name, r in records.items():
        estimate, ends = shown(r)
        parts.append(
            f'<tr><td><a href="#{e(name)}">{e(r["sentence"])}</a></td>'
            f'<td class="n">{e(estimate)}</td><td class="n">{e(ends)}</td>'
            f'<td class="n">{e(claimed(r))}</td>'
            f'<td>{_badge(verdict_of(r, mode))}</td><td class="n">{r["seconds"]:.0f} s</td></tr>'
        )
    parts.append("</tbody></table>")
    for name, r in records.items():
        parts.append(f'<section id="{e(name)}"><h2>{e(r["sentence"])}</h2>')
        parts.append(f"<p>{_badge(verdict_of(r, mode))} <small>{e(_source(name, r))}</small></p>")
        parts.append(f"<p>{e(r['experiment'])}</p>")
        if "error" in r:
            parts.append(f"<pre>{e(r['traceback'])}</pre></section>")
            continue
        parts.append(f"<p>Verdict: {e(r['reason'])}.</p>")
        parts.append(
            '<table><thead><tr><th>measured</th><th class="n">effect</th>'
            '<th class="n">95 % interval</th><th class="n">claimed</th><th>verdict</th></tr>'
            "</thead><tbody>"
        )
        for label, effect, ends, region, verdict in _rows(r):
            badge = _badge(verdict) if verdict else ""
            parts.append(
                f'<tr><td>{e(label)}</td><td class="n">{e(effect)}</td><td class="n">{e(ends)}</td>'
                f'<td class="n">{e(region)}</td><td>{badge}</td></tr>'
            )
        parts.append("</tbody></table>")
        source = f"data:image/png;base64,{r['figure']}"
        parts.append(f'<img src="{source}" alt="{e(r["sentence"], quote=True)}">')
        if r["remarks"]:
            parts.append("<ul>" + "".join(f"<li>{e(x)}</li>" for x in r["remarks"]) + "</ul>")
        parts.append(f"<p><small>{e(_conditions(r))}</small></p></section>")
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{e(title)}</title><style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def write_page(
    records: Mapping[str, Mapping], workdir: Path, *, mode: str, machine: str, title: str = TITLE
) -> Sequence[Path]:
    """Write claims.md with figures/, and claims.html.

    Args:
        records: of `jaxnets.study.runner.run_claims`.
        workdir: where they go.
        mode: "full", "quick" or "tiny".
        machine: on which they were measured.
        title: of the page.

    Returns:
        The two files.
    """
    folder = workdir / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    for name, r in records.items():
        if "figure" in r:
            (folder / f"{name}.png").write_bytes(base64.b64decode(r["figure"]))
    pages = workdir / "claims.md", workdir / "claims.html"
    pages[0].write_text(markdown(records, mode, machine, title=title), encoding="utf-8")
    pages[1].write_text(to_html(records, mode, machine, title=title), encoding="utf-8")
    return pages


def _rows(r: Mapping[str, Any]) -> list[tuple[str, str, str, str, str]]:
    return [
        (
            row["name"],
            value(row),
            interval(row),
            "–" if row["claimed"] is None else row["claimed"],
            row["verdict"] or "",
        )
        for row in r["effects"]
    ]


def _source(name: str, r: Mapping[str, Any]) -> str:
    return f"{name} · {r['source']} · {r['code']}"


def _conditions(r: Mapping[str, Any]) -> str:
    settings = "; ".join(f"{k} {_short(v)}" for k, v in r["settings"].items() if v is not None)
    methods = dict.fromkeys(METHODS[row["method"]] for row in r["effects"])
    return f"{settings}. {'; '.join(methods)}. {r['seconds']:.1f} s.".capitalize()


def _short(x: Any) -> str:
    if isinstance(x, list):
        return ", ".join(map(_short, x))
    return f"{x:g}" if isinstance(x, float) else str(x)


def _badge(verdict: str) -> str:
    kind = verdict.split(" ")[0]
    return f'<span class="v {kind}">{verdict}</span>'
