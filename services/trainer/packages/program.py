"""A main.py for one model: a whole program of `programs/`, with its settings replaced.

The settings stand between two lines of the program, with examples in them, so that the file itself is a program too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files

__all__ = ["program", "shown_names"]

BEGIN, END = "# --- this model\n", "# ---\n"


def program(name: str, settings: Mapping[str, object]) -> bytes:
    """The program `name` with these settings: texts, numbers, lists, tuples and dicts of them."""
    text = files("services.trainer.packages").joinpath("programs", name).read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END, 1)
    lines = "".join(f"{key} = {_literal(value)}\n" for key, value in settings.items())
    return f"{head}{BEGIN}{lines}{END}{tail}".encode()


def shown_names(labels: tuple[str, ...]) -> list[str]:
    """What the boards' built-in fonts can draw, ASCII: "cat", "#3" for 猫, "#4 cat2" for 猫cat2."""
    names = []
    for index, label in enumerate(labels):
        drawn = "".join(sign for sign in label if " " <= sign <= "~").strip()
        names.append(label if drawn == label else f"#{index} {drawn}".rstrip())
    return names


def _literal(value: object) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # valid Python as well, and in double quotes
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_literal(key)}: {_literal(one)}" for key, one in value.items()) + "}"
    return repr(value)
