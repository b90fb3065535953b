"""`pipeline completion`: the script that lets a shell complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script that lets SHELL complete commands and options.

    \b
    bash: pipeline completion bash > ~/.local/share/bash-completion/completions/pipeline
    zsh:  pipeline completion zsh > ~/.zfunc/_pipeline    # a folder of $fpath
    fish: pipeline completion fish > ~/.config/fish/completions/pipeline.fish
    """
    from pipeline.cli.program import cli

    found = get_completion_class(shell)
    assert found is not None
    completion = found(cli, {}, "pipeline", "_PIPELINE_COMPLETE")
    # Without `source`, which starts the shell to ask for its version.
    click.echo(completion.source_template % completion.source_vars(), nl=False)
