"""The docs say what the code does: every variable, command and make target is written down, and no other."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from pydantic import SecretStr
from pydantic_core import PydanticUndefined
from typer.main import get_command

from scripts.parameters.page import size
from scripts.parameters.panels import PANELS
from services.allinone import AllInOneSettings
from services.cli import app
from services.collector.settings import CollectorSettings
from services.common.settings import CommonSettings
from services.deployer.settings import DeployerSettings
from services.gateway.settings import GatewaySettings
from services.trainer.augmentation import Changes
from services.trainer.config import TrainingConfig
from services.trainer.settings import TrainerSettings

ROOT = Path(__file__).resolve().parent.parent
CLASSES = (CommonSettings, AllInOneSettings, CollectorSettings, TrainerSettings, DeployerSettings, GatewaySettings)
ROW = re.compile(r"^\| `(BOARDLOOP_[A-Z_0-9]+)` \| (.*?) \| .+ \|$", re.MULTILINE)
UNSEEN = {"distil_weights", "weights_sha256", "threads", "cache_mib", "sampling"}  # of a training: only in config.json
ELSEWHERE = {"BOARDLOOP_TOKEN", "BOARDLOOP_SHARED"}  # read by the command line and by the tests, not by a service


def documented() -> dict[str, str]:
    return dict(ROW.findall((ROOT / "docs" / "settings.md").read_text()))


def shown(default: object) -> str:
    value = default.get_secret_value() if isinstance(default, SecretStr) else default
    if value is PydanticUndefined:
        return "(computed)"
    return "(empty)" if value is None or value == "" else f"`{value}`"


def settings() -> dict[str, set[str]]:
    """Variable -> its defaults; some names are read by several services."""
    defaults: dict[str, set[str]] = {}
    for kind in CLASSES:
        for name, field in kind.model_fields.items():
            defaults.setdefault(f"BOARDLOOP_{name.upper()}", set()).add(shown(field.default))
    return defaults


def test_every_variable_is_documented_and_no_other() -> None:
    assert set(documented()) - ELSEWHERE == set(settings())


def test_documented_defaults_are_the_codes() -> None:
    wrong = {name: default for name, default in documented().items() if default not in settings().get(name, {default})}
    assert wrong == {}


@pytest.mark.parametrize(
    "page", [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"], ids=lambda page: page.name
)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_parameter_of_a_training_is_shown_in_a_picture() -> None:
    tables = (ROOT / "docs" / "training.md").read_text().partition("### How the pictures are changed")[0]
    rows = re.findall(r"^\| (`.*?) \|", tables, re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    shown_in = {name for panels in PANELS.values() for panel in panels for name in panel.parameters}
    assert shown_in == listed
    assert set(TrainingConfig.model_fields) - set(Changes.model_fields) - UNSEEN <= listed


@pytest.mark.parametrize("name", PANELS)
def test_a_picture_of_parameters_is_on_the_page_and_as_large_as_its_panels(name: str) -> None:
    assert f"](pictures/{name}.png)" in (ROOT / "docs" / "training.md").read_text()
    with Image.open(ROOT / "docs" / "pictures" / f"{name}.png") as picture:
        assert picture.size == size(PANELS[name])


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert {name for name in commands if f"`boardloop {name}" not in readme} == set()


def test_every_make_target_that_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`?make ([a-z-]+)", (ROOT / "README.md").read_text()))
    assert named and named <= targets


def test_the_readme_gives_a_reason_for_each_dependency() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text()
    wanted = set(re.findall(r'^\s+"([A-Za-z][A-Za-z0-9-]*)', pyproject.partition("[project.scripts]")[0], re.MULTILINE))
    wanted |= set(
        re.findall(
            r'"([A-Za-z][A-Za-z0-9-]*)(?:\[[a-z]+\])?(?:==[0-9.]+)?"[,\]]', pyproject.partition("[project.scripts]")[0]
        )
    )
    wanted -= {"boardloop", "setuptools"}
    readme = (ROOT / "README.md").read_text()
    assert {name for name in wanted if f"`{name}`" not in readme} == set()


def test_nothing_committed_names_this_machine() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
    )
    if listed.returncode:
        pytest.skip("not a git checkout: nothing to look through")
    forbidden = re.compile(rf"{re.escape(str(ROOT))}(?![A-Za-z])|{re.escape(str(Path.home()))}/\.")
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and path.suffix in {".py", ".md", ".yaml", ".toml", ".txt", ".json", ".proto", ".conf", ""}:
            found = forbidden.search(path.read_text(errors="ignore"))
            assert found is None, f"{name}: {found.group()}"


def test_every_guarantee_names_tests_that_exist() -> None:
    text = (ROOT / "docs" / "guarantees.md").read_text()
    named = re.findall(r"`(?:(test_[a-z_0-9]+\.py))?::(test_[a-z_0-9]+)`", text)
    assert len(named) > 20
    defined = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_[a-z_0-9]+)", path.read_text())
    }
    assert {test for _, test in named} <= defined
    assert {file for file, _ in named if file} <= {path.name for path in (ROOT / "tests").rglob("test_*.py")}
