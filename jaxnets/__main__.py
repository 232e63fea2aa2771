"""``python -m jaxnets``: the same as the installed program ``jaxnets``."""

from jaxnets.commands import program

if __name__ == "__main__":
    program()
