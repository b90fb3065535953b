"""The daemon's log on stderr, written by structlog. Events of pipelines are separate.

Modules of the daemon log a fixed text with fields: `structlog.get_logger(__name__).warning("refresh failed",
error=…)`. Fields bound to the thread (a pipeline, a run) are added. Libraries use Python's `logging`, and their lines
have the same form. So do the modules that commands load too, because structlog takes longer to load.
"""

from __future__ import annotations

import logging

import structlog
from structlog.typing import Processor

from pipeline.base.printable import escape_controls


def configure_logging(*, as_json: bool) -> None:
    """Send the log to stderr, one line or one JSON object per entry.

    Penstock logs from level `info`, libraries from `warning`.
    """
    stamp = structlog.processors.TimeStamper(fmt="iso" if as_json else "%H:%M:%S", utc=as_json)
    shown = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(as_json=as_json)]
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter(foreign_pre_chain=[*_context(), stamp], processors=shown))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("pipeline").setLevel(logging.INFO)
    write_through_logging(stamp)


class _Formatter(structlog.stdlib.ProcessorFormatter):
    def format(self, record: logging.LogRecord) -> str:
        # An exception may contain text from outside.
        return escape_controls(super().format(record))


def write_through_logging(*processors: Processor) -> None:
    """Route structlog through Python's `logging`, so that its levels and handlers apply to both."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_context(),
            *processors,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def _context() -> tuple[Processor, ...]:
    return (
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
    )


def _rendering(*, as_json: bool) -> tuple[Processor, ...]:
    if as_json:
        return (structlog.processors.format_exc_info, structlog.processors.JSONRenderer())
    # The other formatters print local variables, which may hold secrets.
    plain = structlog.dev.plain_traceback
    return (structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0, pad_level=False, exception_formatter=plain),)
