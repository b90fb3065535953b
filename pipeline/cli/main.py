"""The command line: finds the command, and is the one place where errors become text and an exit code."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import traceback
from typing import Any, NoReturn, cast

import click

from pipeline import __version__
from pipeline.base.errors import ExitCode, PenstockError

# Each command is a module of its own, imported when it is called: `--help` needs none of them.
_GROUPS = {
    "Begin": {
        "demo": "Watch it all: build, test, roll out under load, kill, fail, roll back.",
        "init": "Write a first pipeline.yaml for what is in this directory.",
        "validate": "Say everything that is wrong in pipeline.yaml.",
        "schema": "The JSON Schema of pipeline.yaml.",
    },
    "Deploy": {
        "plan": "Say what a run would do, and change nothing.",
        "run": "Build, test and roll out a commit.",
        "rollback": "Put a former release back into service.",
        "down": "Drain and remove everything of this pipeline.",
    },
    "Run what is new, by itself": {
        "serve": "Stay: run what is new, and keep in service what is deployed.",
        "watch": "The same for one pipeline, while you look.",
        "hook": "Git hooks that tell of commits and pushes.",
        "service": "Have systemd keep `pipeline serve` running.",
    },
    "Steer what runs": {
        "recover": "Repair what a crash left behind.",
        "cancel": "Give up a run.",
        "retry": "Run a run again that did not succeed.",
        "approve": "Let a run be deployed that waits for it.",
        "reject": "Do not let a run be deployed that waits for it.",
        "transition": "Close a stage for a while, and open it again.",
    },
    "Look": {
        "status": "What serves, what is being done, what waits.",
        "history": "The latest runs.",
        "releases": "The releases, and which one serves.",
        "events": "What happened, event by event.",
        "logs": "What a run's stages printed.",
        "artifacts": "The files that a run's tests left behind.",
        "balancer": "Load balancers, rules and targets; their log and metrics.",
    },
}
COMMANDS = {name: text for group in _GROUPS.values() for name, text in group.items()}
"""Every command and its line in the help."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name not in COMMANDS:
            return None
        return cast("click.Command", importlib.import_module(f"pipeline.cli.{name}").command)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS:
            from pipeline.base.suggestion import did_you_mean

            raise click.UsageError(f"there is no command {args[0]} ({did_you_mean(args[0], COMMANDS)})")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        width = max(map(len, COMMANDS))
        for group, commands in _GROUPS.items():
            with formatter.section(group):
                formatter.write_dl([(name.ljust(width), text) for name, text in commands.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="penstock")
def cli() -> None:
    """A commit becomes a tested image and rolls out behind a load balancer, and no request is lost.

    Exit codes: 0 succeeded, 1 failed, 2 bad configuration or usage, 3 system fault, 4 rolled back,
    5 rollback failed, 130 cancelled.
    """


def main() -> NoReturn:
    """Run a command and exit."""
    # The imports of a command make 50,000 objects and no garbage: looking for it takes a tenth of the start.
    gc.set_threshold(100_000)
    try:
        cli.main(standalone_mode=False)
        code = ExitCode.SUCCEEDED
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        code = ExitCode.BAD_CONFIGURATION
    except PenstockError as error:
        _show(error)
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        code = ExitCode.CANCELLED
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = ExitCode.SUCCEEDED
    except Exception:  # noqa: BLE001  # the last resort: whatever it is, it ends with an exit code
        traceback.print_exc()
        click.echo("This is a fault of Penstock itself; please report it with the lines above.", err=True)
        code = ExitCode.SYSTEM_FAULT
    sys.exit(code)


def _show(error: PenstockError) -> None:
    click.echo(click.style("error: ", fg="red", bold=True) + error.message, err=True)
    if error.tail:
        click.echo("\n".join(f"  | {line}" for line in error.tail), err=True)
    if error.hint:
        click.echo(f"hint: {error.hint}", err=True)


if __name__ == "__main__":
    main()
