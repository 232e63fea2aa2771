"""Runs the claims whose results are missing or out of date, and keeps what they found."""

import ast
import base64
import hashlib
import importlib.util
import io
import json
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from jaxnets.errors import JaxnetsError, UnknownNameError
from jaxnets.study.claims import Claim, Settings
from jaxnets.study.data import available
from jaxnets.study.effects import Effect, combine
from jaxnets.train.run_directory import read_json, to_json, write_json

# Whose text decides results beside that of the claim's own modules.
SHARED = ("statistics", "effects", "claims", "sweep", "training", "data")


def choose(claims: Mapping[str, Claim], only: Sequence[str]) -> dict[str, Claim]:
    """The claims named in ``only``, or all of them.

    Args:
        claims: by name.
        only: names.

    Raises:
        UnknownNameError: a name that is not there; its message offers the nearest ones.
    """
    for name in only:
        if name not in claims:
            raise UnknownNameError("claim", name, claims)
    return {name: claim for name, claim in claims.items() if not only or name in only}


def settings_of(claim: Claim, mode: str, data_dir: Path | None) -> Settings:
    """The settings of a mode, with the data set that is really there.

    Args:
        claim: whose settings.
        mode: "full", "quick" or "tiny".
        data_dir: where prepared TFDS data sets lie (default: $TFDS_DATA_DIR).
    """
    settings = getattr(claim, mode)
    dataset = available(settings.dataset, data_dir)
    return replace(settings, dataset=dataset, data_dir=data_dir)


def fingerprint(claim: Claim, settings: Settings) -> str:
    """Changes when a result would: the settings, the claim's code, the shared code.

    Args:
        claim: whose code counts.
        settings: of `settings_of`.
    """
    digest = hashlib.sha256(json.dumps(_plain(settings), sort_keys=True).encode())
    shared = [f"jaxnets.study.{name}" for name in SHARED]
    for name in [*modules_of(claim.measure.__module__), *shared]:
        digest.update(_file_of(name).read_bytes())
    return digest.hexdigest()[:16]


def modules_of(name: str) -> list[str]:
    """A module, and all that it imports, directly or not, from its own package.

    Args:
        name: of the module.

    >>> modules_of("jaxnets.study.effects")
    ['jaxnets.study.effects', 'jaxnets.study.statistics']
    """
    package, found, waiting = name.rpartition(".")[0], set(), [name]
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        found.add(module)
        for node in ast.walk(ast.parse(_file_of(module).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                inside = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
                waiting += [m for m in inside if m.startswith(f"{package}.") and _is_module(m)]
    return sorted(found)


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _file_of(module: str) -> Path:
    return Path(importlib.util.find_spec(module).origin)


def run_claims(
    claims: Mapping[str, Claim], workdir: Path, *, mode: str = "full", data_dir: Path | None = None
) -> dict[str, dict[str, Any]]:
    """Measure each claim that has no result yet with these settings.

    A record is written the moment its claim is done, so that a killed run loses one claim at most.
    A claim that raises gives a record with ``error`` and is tried again by the next run.

    Args:
        claims: by name.
        workdir: results are kept in its folder ``results``.
        mode: "full", "quick" or "tiny".
        data_dir: where prepared TFDS data sets lie (default: $TFDS_DATA_DIR).

    Returns:
        All records by name, see `measure`.
    """
    folder = workdir / "results"
    folder.mkdir(parents=True, exist_ok=True)
    records = {}
    with tqdm(total=len(claims), desc="claims", unit="claim", disable=None) as progress:
        for name, claim in claims.items():
            progress.set_description(name)
            settings = settings_of(claim, mode, data_dir)
            mark = fingerprint(claim, settings)
            record = stored(folder / f"{name}.json", mark)
            if record is None:
                record = measure(name, claim, settings, mark)
                write_json(folder / f"{name}.json", record)
            records[name] = record
            progress.update()
        progress.set_description("claims")
    return records


def stored(path: Path, mark: str) -> dict[str, Any] | None:
    """A finished record with this fingerprint; None for no, a damaged or another one.

    Args:
        path: of the record.
        mark: the `fingerprint` that it must have.
    """
    try:
        record = read_json(path)
    except JaxnetsError:
        return None
    return (
        record if record and record.get("fingerprint") == mark and "error" not in record else None
    )


class Cost(NamedTuple):
    """What a claim takes.

    Attributes:
        minutes: those of its stored result, else what it may take at most.
        measured: whether there is such a result.

    >>> Cost(minutes=1.5, measured=False).minutes
    1.5
    """

    minutes: float
    measured: bool


def costs(
    claims: Mapping[str, Claim], workdir: Path, *, data_dir: Path | None = None
) -> dict[str, Cost]:
    """What a normal run of each claim takes.

    Args:
        claims: by name.
        workdir: of `run_claims`; need not exist.
        data_dir: where prepared TFDS data sets lie (default: $TFDS_DATA_DIR).

    Returns:
        Name → `Cost`.
    """
    found = {}
    for name, claim in claims.items():
        mark = fingerprint(claim, settings_of(claim, "full", data_dir))
        record = stored(workdir / "results" / f"{name}.json", mark)
        measured = record is not None
        found[name] = Cost(record["seconds"] / 60 if measured else claim.minutes, measured)
    return found


def measure(name: str, claim: Claim, settings: Settings, mark: str) -> dict[str, Any]:
    """Run one claim.

    Args:
        name: of the claim.
        claim: to be measured.
        settings: of `settings_of`.
        mark: its `fingerprint`, which the record keeps.

    Returns:
        A record of plain JSON values: what the claim says, ``settings``, ``effects``, ``verdict``
        with its ``reason``, ``remarks``, ``figure`` (base64 of a PNG), ``seconds``; or ``error``
        and ``traceback`` where the measurement raised.
    """
    record = {
        "name": name,
        "sentence": claim.sentence,
        "source": claim.source,
        "code": claim.measure.__module__.replace(".", "/") + ".py",
        "experiment": claim.experiment,
        "settings": _plain(settings),
        "fingerprint": mark,
    }
    began = time.perf_counter()
    try:
        outcome = claim.measure(settings)
        verdict, reason = combine(outcome.effects)
        picture = io.BytesIO()
        outcome.figure.savefig(picture, format="png", dpi=110)
        record |= {
            "effects": [_row(e) for e in outcome.effects],
            "verdict": verdict,
            "reason": reason,
            "remarks": list(outcome.remarks),
            "figure": base64.b64encode(picture.getvalue()).decode(),
        }
    except Exception as error:
        # One claim's mistake must not take the others' page; KeyboardInterrupt still stops all.
        record["error"] = f"{type(error).__name__}: {error}"
        record["traceback"] = traceback.format_exc()
    record["seconds"] = time.perf_counter() - began
    return record


def _row(e: Effect) -> dict[str, Any]:
    return {
        "name": e.name,
        "estimate": e.estimate,
        "low": e.low,
        "high": e.high,
        "keys": e.keys,
        "unit": e.unit,
        "method": e.method,
        "claimed": None if e.claimed is None else str(e.claimed),
        "verdict": e.verdict,
    }


def _plain(settings: Settings) -> dict[str, Any]:
    values = {k: v for k, v in asdict(settings).items() if k != "data_dir"}
    return to_json(values)
