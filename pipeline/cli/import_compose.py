"""`pipeline import compose`: a Compose file as a pipeline.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.base.errors import ConfigError
from pipeline.cli.import_files import check_absent, force_option, output_option, read_text, write_text

if TYPE_CHECKING:
    from pipeline.compose.translation import Imported, Where

_HEAD = "Imported from {files}. Every key: pipeline schema --reference"


@click.command("compose", short_help="Translate a Compose file into a pipeline.yaml.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))
@output_option
@click.option("--secrets", "secrets_file", metavar="FILE", type=click.Path(path_type=Path), help="Write known secrets.")
@click.option("--service", metavar="NAME", help="Print the pipeline that builds the image of this service.")
@click.option("--profile", "profiles", metavar="NAME", multiple=True, help="Include the services of a profile.")
@click.option(
    "--env-file", metavar="FILE", type=click.Path(path_type=Path), help="Read variables from FILE instead of .env."
)
@force_option
def command(
    files: tuple[Path, ...],
    env_file: Path | None,
    output: Path | None,
    secrets_file: Path | None,
    service: str | None,
    profiles: tuple[str, ...],
    force: bool,
) -> None:
    """Print a pipeline.yaml for a Compose file, which may include and extend others.

    Each further FILE overrides the ones before it, as with `docker compose -f`. A - is the standard input. Variables
    get their defaults from the file .env beside the first FILE.

    What is left out or assumed is printed on the standard error, a line each. A pipeline builds one image, so a Compose
    file with several builds becomes several pipelines: --output writes each to a file of its own.
    """
    from pipeline.compose.translation import translate

    imported = translate(
        [str(file) for file in files],
        lambda path: read_text(Path(path)),
        where=_where(files[0], env_file),
        profiles=profiles,
        service=service,
        writes_secrets=secrets_file is not None,
    )
    paths = _paths(imported, output) if output else []
    secrets = None if secrets_file is None else _secrets_text(imported, secrets_file)
    for path in (*paths, *([secrets_file] if secrets_file else [])):
        check_absent(path, force)
    if output is None:
        click.echo(_text(imported, 0, files), nl=False)
    for index, path in enumerate(paths):
        write_text(path, _text(imported, index, files))
        click.echo(f"wrote {path}: {imported.files[index].name}")
    if secrets_file is not None and secrets is not None:
        write_text(secrets_file, secrets, mode=0o600)
        click.echo(f"wrote {secrets_file}", err=True)
    for note in imported.notes:
        click.echo(f"note: {note}", err=True)


def _where(file: Path, env_file: Path | None = None) -> Where:
    """Return the place of a Compose file, with the .env beside it."""
    from pipeline.compose.translation import Where

    folder = Path.cwd() if str(file) == "-" else file.absolute().parent
    root = next((each for each in (folder, *folder.parents) if (each / ".git").exists()), folder)
    dotenv = env_file or folder / ".env"
    return Where(
        folder=str(folder),
        in_repository=str(folder.relative_to(root)),
        name=folder.name,
        is_committed=lambda path: _is_committed(folder, path),
        dotenv=read_text(dotenv) if env_file or dotenv.is_file() else None,
    )


def _is_committed(folder: Path, path: str) -> bool:
    """Return whether git tracks a file."""
    from pipeline.base.git import GitFailed, run_git

    try:
        run_git("ls-files", "--error-unmatch", "--", path, directory=folder)
    except GitFailed:
        return False
    return True


def _text(imported: Imported, index: int, files: tuple[Path, ...]) -> str:
    from pipeline.compose.comments import comments_of
    from pipeline.compose.writer import pipeline_text

    names = ", ".join("the standard input" if str(file) == "-" else file.name for file in files)
    content = imported.files[index].content
    return pipeline_text(content, _HEAD.format(files=names), comments_of(content))


def _paths(imported: Imported, output: Path) -> list[Path]:
    """Return the file of each pipeline: `output` of the first, those of the others beside it, with their names."""
    others = (f"{output.stem}-{each.name}{output.suffix}" for each in imported.files[1:])
    return [output, *map(output.with_name, others)]


def _secrets_text(imported: Imported, file: Path) -> str:
    """Return the secrets whose values are known, in quotes that keep every character."""
    lines = []
    for name, value in imported.secrets.items():
        if value is not None and value.endswith("\\"):
            raise ConfigError(f"the secret {name} ends with a backslash", hint=f"write it into {file} yourself")
        if value is not None:
            quoted = value.replace("'", "\\'")
            lines.append(f"{name}='{quoted}'\n")
    return "".join(lines)
