"""Write the table of all networks, docs/models.md, from the registry.

Command:  python -m experiments.networks.model_cards
          python -m experiments.networks.model_cards --check
Time:     3 s.
Result:   docs/models.md: name, paper, year, input, parameters, MACs, published accuracy and whose
          weights it reads, for every registered network. --check writes nothing and fails where
          the file is not what the registry says.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxnets import command
from jaxnets.errors import JaxnetsError
from jaxnets.inspect import model_cards
from jaxnets.models import list_models
from jaxnets.train.run_directory import write_json

TARGET = Path(__file__).resolve().parents[2] / "docs" / "models.md"


@dataclass(frozen=True)
class Config:
    """What to write.

    Attributes:
        target: the Markdown file.
        check: only compare.
        workdir: where summary.json goes.
    """

    target: Path = TARGET
    check: bool = False
    workdir: Path = Path("runs/model_cards")


def smoke() -> Config:
    """Write beside the results, not into the documentation."""
    return Config(
        target=Path("runs/smoke/model_cards/models.md"), workdir=Path("runs/smoke/model_cards")
    )


def main(config: Config) -> dict[str, Any]:
    """Write or compare the file; return ``{"models", "changed", "target"}``."""
    text = model_cards()
    before = config.target.read_text(encoding="utf-8") if config.target.exists() else None
    changed = before != text
    if changed and config.check:
        raise JaxnetsError(
            f"{config.target} is not what the registry says. "
            "Write it anew: python -m experiments.networks.model_cards"
        )
    if changed:
        config.target.parent.mkdir(parents=True, exist_ok=True)
        config.target.write_text(text, encoding="utf-8")
    summary = {"models": len(list_models()), "changed": changed, "target": str(config.target)}
    config.workdir.mkdir(parents=True, exist_ok=True)
    write_json(config.workdir / "summary.json", summary)
    print(f"{config.target}: {summary['models']} networks, {'written' if changed else 'unchanged'}")
    return summary


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
