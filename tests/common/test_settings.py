"""services/common/settings.py and logs.py."""

from __future__ import annotations

import json
import logging
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pytest
import structlog

from services.common.errors import InvalidInput
from services.common.keys import service_token
from services.common.logs import configure_logging, logger
from services.common.settings import CommonSettings, load_or_create_service_key


def test_a_setting_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOARDLOOP_MQTT_URL", "mqtt://broker:1883")
    monkeypatch.setenv("BOARDLOOP_SERVICE_KEY", "secret-word")
    settings = CommonSettings()
    assert settings.mqtt_url == "mqtt://broker:1883" and settings.service_key.get_secret_value() == "secret-word"
    assert "secret-word" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"), [("RPC_DEADLINE_SECONDS", "0"), ("METRICS_PORT", "70000"), ("LOG_FORMAT", "xml")]
)
def test_a_setting_out_of_range_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"BOARDLOOP_{name}", value)
    with pytest.raises(InvalidInput, match=f"BOARDLOOP_{name}: Input should"):
        CommonSettings()


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in CommonSettings.model_fields.values())


def test_the_service_key_is_made_once_for_all_who_start_together(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(load_or_create_service_key, [tmp_path / "data"] * 8))
    assert len(made) == 1
    service_token(made.pop())
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["service.key"]
    assert stat.S_IMODE((tmp_path / "data" / "service.key").stat().st_mode) == 0o600


@pytest.fixture
def fresh_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, config = root.handlers, root.level, structlog.get_config()
    yield
    root.handlers, root.level = handlers, level
    structlog.configure(**config)


def test_json_lines_carry_event_and_facts(fresh_logging: None, capsys: pytest.CaptureFixture[str]) -> None:
    log = logger("services.test")
    configure_logging("json")
    log.info("capture_stored", board="k7q2mzx4ab", bytes=30)
    logging.getLogger("library").warning("old style %s", "line")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    first, second = lines
    assert (first["event"], first["board"], first["bytes"], first["level"]) == (
        "capture_stored",
        "k7q2mzx4ab",
        30,
        "info",
    )
    assert first["logger"] == "services.test" and first["timestamp"].endswith("Z")
    assert (second["event"], second["level"]) == ("old style line", "warning")


def test_a_trace_is_in_the_line(fresh_logging: None, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json")
    logger("t").error("failed", exc_info=ValueError("why"))
    assert "ValueError: why" in json.loads(capsys.readouterr().err)["exception"]


def test_console_lines_are_for_people(fresh_logging: None, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("console")
    logger("t").info("board_online", board="k7q2mzx4ab")
    written = capsys.readouterr().err
    assert "board_online" in written and "board=k7q2mzx4ab" in written


@pytest.mark.parametrize("format", ["console", "json", None])
def test_a_trace_does_not_show_local_variables(
    fresh_logging: None, capsys: pytest.CaptureFixture[str], format: Literal["console", "json"] | None
) -> None:
    def fail() -> None:
        password = "".join(["hunter", "2"])
        raise ValueError(str(len(password)))

    if format is not None:
        configure_logging(format)
    with pytest.raises(ValueError) as raised:
        fail()
    logger("t").error("failed", exc_info=raised.value)
    written = "".join(capsys.readouterr())
    assert "ValueError: 7" in written and "hunter2" not in written
