"""The report of a search for a recipe: Markdown, and the command line of the recipe."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from jaxnets.tasks.recipe import Recipe
from jaxnets.tune.study import Study


def command_line(recipe: Recipe) -> str:
    """How to train with a recipe; options that have their default are left out.

    Args:
        recipe: what to train with.

    Returns:
        One line.

    >>> command_line(Recipe(model="mlp", learning_rate=0.01))
    'python -m experiments.train_classifier --model mlp --learning-rate 0.01'
    """
    default = asdict(Recipe())
    words = ["python -m experiments.train_classifier"]
    for name, value in asdict(recipe).items():
        if value != default[name]:
            shown = f"{value:.4g}" if isinstance(value, float) else value
            words.append(f"--{name.replace('_', '-')} {shown}")
    return " ".join(words)


def settings_in_words(settings: dict[str, Any]) -> str:
    """Settings as one would say them; none are the default recipe's.

    Args:
        settings: names of a recipe's fields to values.

    Returns:
        A phrase.

    >>> settings_in_words({"learning_rate": 0.00316228, "augment": "crop"})
    'learning rate 0.003162, augment crop'
    """
    if not settings:
        return "the default recipe"
    return ", ".join(
        f"{name.replace('_', ' ')} {f'{value:.4g}' if isinstance(value, float) else value}"
        for name, value in settings.items()
    )


def trials_table(study: Study, most: int = 8) -> str:
    """The best trials of a round as a Markdown table, and how many were stopped early.

    Args:
        study: the round.
        most: rows of the table.

    Returns:
        Markdown.

    >>> from jaxnets.tune import Range
    >>> trials_table(Study(None, "demo", {"x": Range(1.0, 2.0)}, {})).splitlines()[0]
    '| accuracy | x | epochs | |'
    """
    rows = study.table()
    names = list(study.space)
    lines = [
        "| accuracy | " + " | ".join(name.replace("_", " ") for name in names) + " | epochs | |",
        "|--:|" + "--:|" * len(names) + "--:|---|",
    ]
    for row in rows[:most]:
        shown = [
            f"{row['params'][n]:.3g}" if isinstance(row["params"][n], float) else row["params"][n]
            for n in names
        ]
        value = "–" if row["value"] is None else f"{100 * row['value']:.2f} %"
        lines.append(
            f"| {value} | {' | '.join(map(str, shown))} | {row['epochs']} | {row['state']} |"
        )
    counts = {s: sum(r["state"] == s for r in rows) for s in ("complete", "stopped", "diverged")}
    lines.append(
        f"\n{len(rows)} trials: {counts['complete']} carried through, {counts['stopped']} stopped "
        f"early, {counts['diverged']} diverged; {sum(row['epochs'] for row in rows)} epochs in all."
    )
    return "\n".join(lines)


def _finals(summary: dict[str, Any]) -> str:
    lines = ["| mean accuracy | each key | settings |", "|--:|---|---|"]
    for row in summary["finals"]:
        each = ", ".join(f"{100 * a:.2f} %" for a in row["accuracies"])
        lines.append(
            f"| {100 * row['mean']:.2f} % | {each} | {settings_in_words(row['settings'])} |"
        )
    return "\n".join(lines)


def comparison_in_words(measured: dict[str, Any], epochs: int) -> str:
    """One sentence with both accuracies and the interval of their difference.

    Args:
        measured: of `compare_on_test_set`.
        epochs: of each run.

    Returns:
        The sentence.

    >>> measured = {"found": [0.9, 0.9], "default": [0.8, 0.8], "difference": 0.1, "half": 0.02}
    >>> comparison_in_words({**measured, "verdict": "the recipe found is better"}, 5)
    'test accuracy after 5 epochs, 2 keys: 90.00 % with the recipe, 80.00 % with the default;
    difference +10.00 ± 2.00 points (95 %): the recipe found is better'
    """
    found, default = (100 * sum(v) / len(v) for v in (measured["found"], measured["default"]))
    return (
        f"test accuracy after {epochs} epochs, {len(measured['found'])} keys: {found:.2f} % with "
        f"the recipe, {default:.2f} % with the default; difference "
        f"{100 * measured['difference']:+.2f} ± {100 * measured['half']:.2f} points (95 %): "
        f"{measured['verdict']}"
    )


def report_markdown(summary: dict[str, Any], tables: list[str]) -> str:
    """The whole report of a search.

    Args:
        summary: of `jaxnets.tune.procedure.find_recipe`.
        tables: of `trials_table`, one a round.

    Returns:
        Markdown, with links to the pictures beside it.

    >>> step = {"findings": ["as it should be"]}
    >>> measured = {"found": [0.9], "default": [0.8], "difference": 0.1, "half": 0.02}
    >>> summary = {
    ...     "config": {"model": "mlp", "dataset": "digits", "epochs": 5}, "train_images": 80,
    ...     "valid_images": 20, "steps": {"first_loss": step, "overfit": step, "rates": step},
    ...     "finals": [], "warnings": [], "curves": {}, "settings": {}, "command": "python …",
    ...     "comparison": {**measured, "verdict": "better"}}
    >>> report_markdown(summary, []).splitlines()[0]
    '# A recipe for mlp on digits'
    """
    steps, config = summary["steps"], summary["config"]
    parts = [
        f"# A recipe for {config['model']} on {config['dataset']}",
        f"{summary['train_images']:,} images to train on, {summary['valid_images']:,} of the "
        "training images held out for the search; the test images are looked at once, at the end.",
    ]
    for number, (name, title) in enumerate(
        (
            ("first_loss", "The first loss"),
            ("overfit", "Overfitting a small set"),
            ("rates", "The learning rate"),
        ),
        start=1,
    ):
        parts += [f"## {number}. {title}", "\n".join(f"- {f}" for f in steps[name]["findings"])]
    parts += ["![rates](rates.png)", "## 4. Random search, coarse to fine"]
    for name, table in zip(("Coarse", "Refined"), tables, strict=False):
        parts += [f"### {name}", table]
    parts += ["### Finals: the best of them and the default, other keys", _finals(summary)]
    parts += [f"- {warning}" for warning in summary["warnings"]]
    parts += ["![search](search.png)", "## 5. The curves"]
    for name, entry in summary["curves"].items():
        parts.append(
            f"**{name}: {entry['kind'].replace('_', ' ')}.** {entry['finding']}. "
            f"Advice: {entry['advice']}.\n\n![{name}](curves_{name}.png)"
        )
    parts += [
        "## The recipe",
        f"{settings_in_words(summary['settings'])}.",
        f"{comparison_in_words(summary['comparison'], config['epochs'])}.",
        f"```sh\n{summary['command']}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def ending(summary: dict[str, Any], workdir: Path) -> str:
    """The last lines on the terminal: the comparison, the command, the files.

    Args:
        summary: of `jaxnets.tune.procedure.find_recipe`.
        workdir: where the report is.

    Returns:
        Three lines.

    >>> measured = {"found": [0.9], "default": [0.8], "difference": 0.1, "half": 0.02}
    >>> measured["verdict"] = "better"
    >>> summary = {"comparison": measured, "config": {"epochs": 5}, "command": "python …"}
    >>> ending(summary, Path("runs")).splitlines()[-1]
    'runs: report.md, recipe.json, summary.json'
    """
    return (
        comparison_in_words(summary["comparison"], summary["config"]["epochs"])
        + f"\n{summary['command']}\n{workdir}: report.md, recipe.json, summary.json"
    )
