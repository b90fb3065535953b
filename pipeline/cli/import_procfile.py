"""`pipeline import procfile`: a Procfile as a pipeline.yaml."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.import_files import check_absent, force_option, output_option, read_text, write_text


@click.command("procfile", short_help="Translate a Procfile into a pipeline.yaml.")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, allow_dash=True))
@output_option
@force_option
def command(file: Path, output: Path | None, force: bool) -> None:
    """Print a pipeline.yaml for a Procfile.

    The process web gets the requests, release runs once before each release, and the others are workers. A - is the
    standard input. What is assumed is printed on the standard error, a line each.
    """
    from pipeline.compose.comments import comments_of
    from pipeline.compose.procfile import translate_procfile
    from pipeline.compose.writer import pipeline_text

    folder = Path.cwd() if str(file) == "-" else file.absolute().parent
    imported = translate_procfile(read_text(file), str(file), folder.name)
    content = imported.files[0].content
    head = "Imported from a Procfile. Every key: pipeline schema --reference"
    text = pipeline_text(content, head, comments_of(content))
    if output is None:
        click.echo(text, nl=False)
    else:
        check_absent(output, force)
        write_text(output, text)
        click.echo(f"wrote {output}: {imported.files[0].name}")
    for note in imported.notes:
        click.echo(f"note: {note}", err=True)
