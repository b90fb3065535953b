"""What the daemon says of itself, beside the events of what it does: how it is told on stderr, by structlog.

Our modules and the libraries say it by Python's `logging`; what a thread is about (a pipeline, a run) stands with it.
"""

from __future__ import annotations

import logging
import warnings

import structlog
from structlog.typing import Processor


def configure_logging(*, as_json: bool) -> None:
    """Write on stderr from here on, a line a word, or an object: ours from INFO on, the libraries' from WARNING on."""
    about: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso" if as_json else "%H:%M:%S", utc=as_json),
    ]
    shown = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(as_json=as_json)]
    handler = logging.StreamHandler()
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=about, processors=shown))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("pipeline").setLevel(logging.INFO)
    # watchdog adds a folder twice that is made and filled while it is being added, which does no harm.
    warnings.filterwarnings("ignore", "Callback with id .* already exists", RuntimeWarning)


def _rendering(*, as_json: bool) -> tuple[Processor, ...]:
    if as_json:
        return (structlog.processors.format_exc_info, structlog.processors.JSONRenderer())
    # Any other way to show an exception shows what its variables hold, secrets among it.
    plain = structlog.dev.plain_traceback
    return (structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0, pad_level=False, exception_formatter=plain),)
