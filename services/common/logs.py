"""Log lines: an event in snake_case and its facts as key=value; `board="<id>"` wherever a board is meant."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Literal, cast

import structlog
from structlog.types import Processor

__all__ = ["configure_logging", "logger"]

NOISY = ("amqtt", "transitions", "httpx", "httpcore", "urllib3", "alembic", "asyncio", "multipart", "uvicorn")

SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def _console(*, colors: bool) -> Processor:
    """Lines for people, with a plain traceback: structlog's own shows local variables, and keys are among them."""
    return structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)


structlog.configure(processors=[*structlog.get_config()["processors"][:-1], _console(colors=False)])


def configure_logging(
    format: Literal["console", "json"] = "console", level: int = logging.INFO, file: Path | None = None
) -> None:
    """All log lines of this process, also those of libraries, to stderr or `file`: text or one JSON object per line."""
    tail: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if format == "json":
        tail += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    else:
        tail += [_console(colors=file is None and sys.stderr.isatty())]
    structlog.configure(
        processors=[*SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.FileHandler(file) if file else logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=SHARED, processors=tail))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """Logger of a module: `log = logger(__name__)`. Follows configure_logging, also when made before it."""
    return cast(structlog.stdlib.BoundLogger, structlog.get_logger(name))
