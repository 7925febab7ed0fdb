"""Every sentence a person reads, in English and Chinese. A test keeps both complete and equal in their {fields}."""

from __future__ import annotations

import os
from typing import Literal

from services.common.i18n.boxes import BOXES
from services.common.i18n.changes import CHANGES
from services.common.i18n.console import CONSOLE
from services.common.i18n.evaluation import EVALUATION
from services.common.i18n.fidelity import FIDELITY
from services.common.i18n.pages import PAGES
from services.common.i18n.preflight import PREFLIGHT
from services.common.i18n.training import TRAINING
from services.common.i18n.trying import TRYING

__all__ = ["CATALOGUE", "LANGUAGES", "Language", "Translator", "choose_language", "console_language"]

Language = Literal["en", "zh"]
LANGUAGES: dict[Language, str] = {"en": "English", "zh": "中文"}

CATALOGUE: dict[str, tuple[str, str]] = {
    **PAGES, **BOXES, **CONSOLE, **FIDELITY, **TRAINING, **PREFLIGHT, **CHANGES, **EVALUATION,
    **TRYING,
}  # fmt: skip
"""Key -> English, Chinese."""


class Translator:
    """`t("datasets.subtitle", total=3)`: the sentence in this person's language. KeyError for an unknown key."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._column = 0 if language == "en" else 1

    def __call__(self, key: str, **fields: object) -> str:
        return CATALOGUE[key][self._column].format(**fields)


def choose_language(cookie: str | None, accept_language: str) -> Language:
    """The language chosen before, else the first one of the browser's list that we speak, else English."""
    for wish in [cookie or "", *accept_language.lower().split(",")]:
        code = wish.strip()[:2]
        if code in LANGUAGES:
            return "zh" if code == "zh" else "en"
    return "en"


def console_language() -> Language:
    """What the terminal's locale asks for (LC_ALL, LC_MESSAGES, LANG, the first that is set)."""
    locale = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := os.environ.get(name))), "")
    return choose_language(None, locale)
