"""The catalogue is complete in both languages, and pages and commands use no other key."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

from services.common.i18n import CATALOGUE, Translator, choose_language, console_language
from services.rpc.boardloop.deployer.v1 import deployer_pb2 as deployer
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as trainer
from services.trainer.packages import PACKAGES

SERVICES = Path(__file__).resolve().parents[2] / "services"
ROOMS = (
    *SERVICES.glob("gateway/pages/*.py"),
    *SERVICES.glob("demo/*.py"),
    *SERVICES.glob("common/*.py"),
    *SERVICES.glob("trainer/convert_command/*.py"),
    SERVICES / "cli.py",
)
SOURCE = "\n".join(file.read_text() for file in ROOMS)
CHINESE = re.compile(r"[\u4e00-\u9fff]")
SAME_IN_BOTH = {"models.f1", "pair.step_wifi", "update.NONE", "fidelity.mAP50", "fidelity.mAP50-95", "fidelity.ap50"}


def fields(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


@pytest.mark.parametrize("key", CATALOGUE)
def test_both_languages_say_it(key: str) -> None:
    english, chinese = CATALOGUE[key]
    assert english and chinese and fields(english) == fields(chinese)
    assert not CHINESE.search(english)
    assert key in SAME_IN_BOTH or CHINESE.search(chinese), f"{key} is not translated"


def test_every_key_that_pages_name_exists() -> None:
    named = set(re.findall(r'\bt\(\s*"([a-zA-Z_.]+[a-zA-Z])"', SOURCE))
    assert len(named) > 100
    assert named <= set(CATALOGUE)


def test_every_kind_of_package_has_a_word() -> None:
    assert {f"package.{kind}" for kind in PACKAGES} <= set(CATALOGUE)


def test_every_state_has_a_word() -> None:
    enums = {
        "job.": (trainer.JobState, "JOB_STATE_"),
        "board.": (deployer.BoardState, "BOARD_STATE_"),
        "update.": (deployer.UpdateState, "UPDATE_STATE_"),
        "releases.": (deployer.ReleaseState, "RELEASE_STATE_"),
    }
    for room, (enum, prefix) in enums.items():
        words = {name.removeprefix(prefix) for name in enum.keys()} - {"UNSPECIFIED"}  # noqa: SIM118
        assert {room + word for word in words} <= set(CATALOGUE)


@pytest.mark.parametrize(
    ("cookie", "header", "language"),
    [
        (None, "", "en"),
        (None, "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        (None, "de-DE,en;q=0.5,zh;q=0.4", "en"),
        ("en", "zh-CN", "en"),
        ("zh", "en-US", "zh"),
        ("xx", "zh", "zh"),
    ],
)
def test_the_language_chosen_before_wins(cookie: str | None, header: str, language: str) -> None:
    assert choose_language(cookie, header) == language


def test_a_sentence_takes_its_fields() -> None:
    assert Translator("zh")("datasets.subtitle", total=3) == "3 张图片"


@pytest.mark.parametrize(
    ("variables", "language"),
    [
        ({}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "zh_TW"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "de_DE"}, "en"),
    ],
)
def test_a_terminal_is_spoken_to_in_its_locale(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], language: str
) -> None:
    for name in ("LANG", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert console_language() == language


def test_every_figure_step_and_check_of_the_demo_has_words() -> None:
    for call, room in (("figure", "figure"), ("check", "check"), ("step", "step")):
        keys = set(re.findall(rf'\b{call}\("([a-z_]+)"', SOURCE))
        assert keys and {f"demo.{room}.{key}" for key in keys} <= set(CATALOGUE)
