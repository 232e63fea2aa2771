"""Check files before a commit: TOML, YAML, JSON and notebooks parse, and none is above 1 MB.

Command:  python .ci/check_files.py FILE …
"""

import json
import sys
import tomllib
from pathlib import Path

import yaml

LIMIT_BYTES = 1_000_000
PARSERS = {
    ".ipynb": json.loads,
    ".json": json.loads,
    ".toml": tomllib.loads,
    ".yaml": yaml.safe_load,
    ".yml": yaml.safe_load,
}


def problem(path: Path) -> str | None:
    """What is wrong with a file, or None."""
    if path.stat().st_size > LIMIT_BYTES:
        return f"{path}: {path.stat().st_size:,} bytes; the limit is {LIMIT_BYTES:,}"
    parse = PARSERS.get(path.suffix)
    if parse:
        try:
            parse(path.read_text(encoding="utf-8"))
        except (ValueError, yaml.YAMLError) as error:
            return f"{path}: {error}"
    return None


if __name__ == "__main__":
    problems = [found for name in sys.argv[1:] if (found := problem(Path(name)))]
    print("\n".join(problems))
    sys.exit(bool(problems))
