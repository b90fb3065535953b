"""The common start of the commands of `pipeline accessory`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.output import print_event, show_json
from pipeline.cli.session import handle_interrupts, ignore_broken_pipe, session

if TYPE_CHECKING:
    from pipeline.accessories.accessories import Accessories
    from pipeline.accessories.backups import Backups
    from pipeline.accessories.declared import DeclaredAccessories
    from pipeline.api import StageContext
    from pipeline.engine.interfaces import Engine

name_argument = click.argument("name")


@dataclass(frozen=True)
class AccessorySession:
    """A command's access to the accessories of one pipeline."""

    context: StageContext
    engine: Engine

    @property
    def accessories(self) -> Accessories:
        """The accessories."""
        from pipeline.accessories.accessories import Accessories

        return Accessories(self.context, self.engine)

    @property
    def declared(self) -> DeclaredAccessories:
        """The accessories of pipeline.yaml."""
        from pipeline.accessories.declared import DeclaredAccessories

        return DeclaredAccessories(self.context)

    @property
    def backups(self) -> Backups:
        """The backups."""
        from pipeline.accessories.backups import Backups
        from pipeline.engine.hosts import local_console

        return Backups(self.context, self.engine, local_console(self.context.home.id))


@contextmanager
def accessory_session(
    file: Path, parameters: Sequence[str], *, as_json: bool = False, secrets_needed: bool = False
) -> Iterator[AccessorySession]:
    """Yield the accessories of a pipeline. Events are printed and stored, and Ctrl-C cancels what is in progress.

    Raises `ConfigError` if the file is invalid, or if another file owns the pipeline's name.
    """
    from pipeline.engine.hosts import local_engine
    from pipeline.runner.context import PipelineContext
    from pipeline.runner.ownership import check_owner, set_owner

    with session(file, parameters, secrets_needed=secrets_needed) as opened, handle_interrupts() as cancelled:
        show = ignore_broken_pipe(show_json if as_json else print_event)
        pipeline = PipelineContext(opened.home, opened.configuration, opened.store, [show], by=opened.user)
        check_owner(opened.store, opened.configuration)
        set_owner(opened.store, opened.configuration)
        with pipeline.masking_errors(), local_engine(opened.home.id) as engine:
            yield AccessorySession(pipeline.stage_context(cancelled=cancelled), engine)
