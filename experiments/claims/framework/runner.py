"""Finds the claims, runs those whose results are missing or stale, and keeps what they found."""

import base64
import hashlib
import importlib
import io
import json
import pkgutil
import re
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

import experiments.claims
from experiments.claims.framework.claim import Claim, Settings
from experiments.claims.framework.data import available
from experiments.claims.framework.statistics import Effect, combine
from jaxnets.errors import JaxnetsError, UnknownNameError
from jaxnets.train.run_directory import read_json, write_json

# Whose text decides results beside the claim's own file.
SHARED = ("statistics.py", "training.py", "data.py")


def find_claims() -> dict[str, Claim]:
    """Every module of `experiments.claims` that has a ``CLAIM``, in the order of the matrix."""
    names = sorted(
        module.name
        for module in pkgutil.iter_modules(experiments.claims.__path__)
        if not module.ispkg and not module.name.startswith("_")
    )
    found = {name: importlib.import_module(f"experiments.claims.{name}") for name in names}
    claims = {name: module.CLAIM for name, module in found.items() if hasattr(module, "CLAIM")}
    return dict(sorted(claims.items(), key=lambda item: (item[1].row, item[0])))


def choose(claims: Mapping[str, Claim], only: Sequence[str]) -> dict[str, Claim]:
    """The claims named in ``only``, or all; an unknown name offers the nearest ones."""
    for name in only:
        if name not in claims:
            raise UnknownNameError("claim", name, claims)
    return {name: claim for name, claim in claims.items() if not only or name in only}


def settings_of(claim: Claim, mode: str, data_dir: Path | None) -> Settings:
    """The settings of a mode, with the dataset that is really there."""
    settings = getattr(claim, mode)
    dataset = available(settings.dataset, data_dir)
    return replace(settings, dataset=dataset, data_dir=data_dir)


def fingerprint(claim: Claim, settings: Settings) -> str:
    """Changes when a result would: the settings, the claim's code, the shared code."""
    digest = hashlib.sha256(json.dumps(_plain(settings), sort_keys=True).encode())
    for path in sources(Path(importlib.import_module(claim.measure.__module__).__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def sources(own: Path) -> list[Path]:
    """A claim's file, the files beside it that it imports from, and the framework's."""
    folder = Path(experiments.claims.__file__).parent
    beside = re.findall(r"experiments\.claims\.(\w+) import", own.read_text(encoding="utf-8"))
    paths = [own, *(folder / f"{name}.py" for name in sorted(set(beside)))]
    shared = [Path(__file__).with_name(name) for name in SHARED]
    return [path for path in paths if path.exists()] + shared


def run_claims(
    claims: Mapping[str, Claim], workdir: Path, *, mode: str = "full", data_dir: Path | None = None
) -> dict[str, dict[str, Any]]:
    """Measure each claim that has no result yet with these settings; returns all records by name.

    A record is written the moment its claim is done, so that a killed run loses one claim at most.
    A claim that raises gives a record with ``error`` and is tried again by the next run.
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
    """A finished record with this fingerprint; None for no, a damaged or another one."""
    try:
        record = read_json(path)
    except JaxnetsError:
        return None
    return (
        record if record and record.get("fingerprint") == mark and "error" not in record else None
    )


def measure(name: str, claim: Claim, settings: Settings, mark: str) -> dict[str, Any]:
    """Run one claim: a record of plain JSON values, its figure as base64 of a PNG."""
    record = {
        "name": name,
        "sentence": claim.sentence,
        "notes": claim.notes,
        "row": claim.row,
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
    return json.loads(json.dumps(values, default=str))
