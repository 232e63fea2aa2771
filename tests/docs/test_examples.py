"""The documentation's examples: every Python block runs, every command's options exist."""

import importlib
import re
import shlex
import tomllib

import jax
import pytest
import tyro
from reading import PAGES, ROOT, Block, page_id, read_page

from jaxnets import command as command_line
from jaxnets import commands

# Blocks that need what a clean checkout lacks: page → reasons, in order.
LEFT_OUT = {
    "docs/guide/fine_tuning.md": ["needs torchvision's file of weights"],
}
WITH_PYTHON = [p for p in PAGES if any(b.language == "python" for b in read_page(p)[0])]
COMMANDS = [
    pytest.param(page, block, id=f"{page_id(page)}:{block.line}")
    for page in PAGES
    for block in read_page(page)[0]
    if block.language in ("sh", "bash", "shell", "console")
]
# Programs whose options are not ours to check.
OTHERS = {"git", "mkdocs", "mypy", "pre-commit", "pytest", "ruff"}


@pytest.mark.parametrize("page", WITH_PYTHON, ids=page_id)
def test_python_blocks_run(page, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    if page.name != "devices.md":
        # One device, as on most machines where a page is tried out.
        monkeypatch.setattr(jax, "devices", lambda *backend, all=jax.devices: all(*backend)[:1])
    namespace = {"__name__": "__main__"}
    for block in read_page(page)[0]:
        if block.language == "python":
            # Empty lines in front, so that a traceback names the page's own line.
            code = compile("\n" * block.line + block.text, page_id(page), "exec")
            if not block.not_run:
                exec(code, namespace)
    printed = capsys.readouterr().out
    if page.name == "README.md":
        (accuracy,) = re.findall(r"test accuracy ([\d.]+) %", printed)
        assert float(accuracy) > 96


def test_blocks_that_are_not_run_are_known():
    left_out = {}
    for page in WITH_PYTHON:
        reasons = [b.not_run for b in read_page(page)[0] if b.language == "python" and b.not_run]
        if reasons:
            left_out[page_id(page)] = reasons
    assert left_out == LEFT_OUT


def test_every_block_says_its_language():
    known = {"python", "sh", "text", "toml", "yaml"}
    for page in PAGES:
        for block in read_page(page)[0]:
            assert block.language in known, f"{page_id(page)}:{block.line}"


@pytest.mark.parametrize(("page", "block"), COMMANDS)
def test_commands_parse(page, block: Block):
    for command in commands_of(block.text):
        check(command)


def commands_of(text: str) -> list[list[str]]:
    """The words of each command: lines are joined at a backslash and cut at ``&&``."""
    commands = []
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while "&&" in words:
            cut = words.index("&&")
            commands.append(words[:cut])
            words = words[cut + 1 :]
        commands.append(words)
    # Variables that are set for a command stand before it.
    commands = [strip_assignments(words) for words in commands]
    return [words for words in commands if words]


def strip_assignments(words: list[str]) -> list[str]:
    while words and re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    return words


def check(words: list[str]) -> None:
    program, arguments = words[0].removeprefix(".venv/bin/"), words[1:]
    if program == "pip":
        check_extras(arguments)
    elif program == "jaxnets":
        name, *options = arguments
        module = importlib.import_module(f"jaxnets.commands.{name}")
        # Parsed, not run: `main` is replaced.
        positional = commands.COMMANDS[name][1]
        command_line.run(lambda config: config, module.Config, options, positional=positional)
    elif program in ("python", "python3"):
        assert arguments[0] == "-m", words
        module, options = arguments[1], arguments[2:]
        if module.startswith("experiments."):
            config = importlib.import_module(module)
            if not hasattr(config, "Config"):  # a package, started by its __main__
                config = importlib.import_module(f"{module}.__main__")
            tyro.cli(config.Config, args=options)
        elif module.startswith("jaxnets."):
            assert importlib.util.find_spec(module), words
        else:
            assert module in {"venv", "pytest", "pip"}, words
    else:
        assert program in OTHERS, words


def check_extras(arguments: list[str]) -> None:
    """Extras that are asked for exist."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for argument in arguments:
        for group in re.findall(r"\[([\w,]+)\]", argument):
            assert set(group.split(",")) <= set(project["optional-dependencies"]), argument


def test_the_check_of_commands_notices_unknown_options(capsys):
    with pytest.raises(SystemExit):
        check(shlex.split("python -m experiments.train_classifier --learning-rat 0.1"))
    with pytest.raises(SystemExit):
        check(shlex.split("jaxnets train --learning-rat 0.1"))
    with pytest.raises(AssertionError):
        check(shlex.split("pip install -e '.[no_such_extra]'"))
    capsys.readouterr()


def test_readme_has_the_two_commands():
    blocks = [b.text for b in read_page(ROOT / "README.md")[0] if b.language == "sh"]
    assert "python -m experiments.train_classifier\n" in blocks[0]
    assert re.match(r"python3 -m venv .*pytest -q -n 2\n$", blocks[1])
