"""Prometheus figures of a process. Names begin with `boardloop_`; asking twice for one name gives the same figure."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from prometheus_client import Counter, Gauge, Histogram, start_http_server

__all__ = ["counter", "gauge", "histogram", "serve_metrics"]

Figure = TypeVar("Figure", Counter, Gauge, Histogram)

_figures: dict[str, Counter | Gauge | Histogram] = {}
_lock = threading.Lock()


def counter(name: str, documentation: str, labels: Sequence[str] = ()) -> Counter:
    """Only goes up; `name` without `_total`."""
    return _once(Counter, name, documentation, labels)


def gauge(name: str, documentation: str, labels: Sequence[str] = ()) -> Gauge:
    return _once(Gauge, name, documentation, labels)


def histogram(name: str, documentation: str, labels: Sequence[str] = ()) -> Histogram:
    """Seconds, unless the name says otherwise."""
    return _once(Histogram, name, documentation, labels)


def _once(kind: type[Figure], name: str, documentation: str, labels: Sequence[str]) -> Figure:
    full = f"boardloop_{name}"
    with _lock:
        figure = _figures.get(full)
        if figure is None:
            figure = _figures[full] = kind(full, documentation, labels)
    if not isinstance(figure, kind):
        raise TypeError(f"{full} is a {type(figure).__name__}, not a {kind.__name__}")
    return figure


def serve_metrics(port: int) -> Callable[[], None]:
    """Serves http://<any address>:<port>/metrics in a thread of its own (0 = not at all); returns what stops it."""
    if port == 0:
        return lambda: None
    server, thread = start_http_server(port)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
