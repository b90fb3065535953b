"""The daemon's log, beside the events of its pipelines: lines on stderr, written by structlog.

Modules of the daemon write a fixed text with fields: `structlog.get_logger(__name__).warning("refresh failed",
error=…)`. The fields that a thread has bound (a pipeline, a run) stand beside them. Libraries, and the balancer, write
by Python's `logging`; their lines look alike.
"""

from __future__ import annotations

import logging
import warnings

import structlog
from structlog.typing import Processor


def configure_logging(*, as_json: bool) -> None:
    """Write the log on stderr from here on: a line or a JSON object each.

    Lines of Penstock count from `info` on, those of libraries from `warning` on.
    """
    stamp = structlog.processors.TimeStamper(fmt="iso" if as_json else "%H:%M:%S", utc=as_json)
    shown = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(as_json=as_json)]
    handler = logging.StreamHandler()
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=[*_context(), stamp], processors=shown))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("pipeline").setLevel(logging.INFO)
    write_through_logging(stamp)
    # watchdog adds a folder twice that is made and filled while it is being added, which does no harm.
    warnings.filterwarnings("ignore", "Callback with id .* already exists", RuntimeWarning)


def write_through_logging(*processors: Processor) -> None:
    """Have structlog hand its entries to Python's `logging`, whose levels and handlers then count for them too."""
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
    # Any other way to show an exception shows what its variables hold, secrets among it.
    plain = structlog.dev.plain_traceback
    return (structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0, pad_level=False, exception_formatter=plain),)
