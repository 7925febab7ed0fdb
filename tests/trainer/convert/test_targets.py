from __future__ import annotations

import subprocess
import sys

import pytest

from services.common.errors import InvalidInput
from services.trainer.convert import TARGETS, convert, simulator
from tests.trainer.convert.networks import pictures, small


def test_every_target_is_under_its_own_id() -> None:
    assert "k210-kmodel-v3" in TARGETS
    for name, target in TARGETS.items():
        assert target.id == name
        assert target.title in target.describe() and target.format


def test_an_unknown_target_is_answered_with_the_known_ones() -> None:
    for attempt in (lambda: simulator("k211", b""), lambda: convert(small(), "k211", pictures(4)[0])):
        with pytest.raises(InvalidInput, match="k210-kmodel-v3") as caught:
            attempt()
        assert caught.value.reason == "UNKNOWN_TARGET"


def test_simulators_need_no_torch() -> None:
    """Hundreds of virtual boards run them."""
    code = (
        "import sys; from services.trainer.convert import simulator\n"
        "try: simulator('k210-kmodel-v3', b'')\n"
        "except Exception as e: assert e.reason == 'KMODEL_TRUNCATED', e\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
