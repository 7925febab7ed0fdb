"""services/common/metrics.py."""

from __future__ import annotations

import urllib.request

import pytest

from services.common import metrics
from tests.servers import free_port


def test_figures_are_served_until_stopped() -> None:
    metrics.counter("test_pictures", "Pictures of this test.", ("kind",)).labels("good").inc(3)
    port = free_port()
    stop = metrics.serve_metrics(port)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        text = page.read().decode()
    stop()
    assert 'boardloop_test_pictures_total{kind="good"} 3.0' in text
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2)


def test_no_port_serves_nothing() -> None:
    metrics.serve_metrics(0)()


def test_one_name_is_one_figure() -> None:
    first = metrics.counter("test_same", "The same.")
    assert metrics.counter("test_same", "The same.") is first
    with pytest.raises(TypeError, match="boardloop_test_same"):
        metrics.gauge("test_same", "Another kind.")
