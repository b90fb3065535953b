"""`pipeline import codepipeline`: a CodePipeline of AWS as a pipeline.yaml."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pipeline.base.errors import ConfigError
from pipeline.cli.session import parameter_option, split_parameter


@click.command("codepipeline", short_help="Translate a CodePipeline of AWS into a pipeline.yaml.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))
@click.option("--pipeline", "name", metavar="NAME", help="CodePipeline to translate, if there are several.")
@parameter_option
@click.option("--buildspec", metavar="FILE", type=click.Path(path_type=Path), help="The buildspec in the repository.")
@click.option("--region", metavar="REGION", default="us-east-1", show_default=True, help="Value of AWS::Region.")
def command(
    files: tuple[Path, ...], name: str | None, parameters: tuple[str, ...], buildspec: Path | None, region: str
) -> None:
    """Print a pipeline.yaml for a CodePipeline that is declared in a CloudFormation template.

    FILE is a template with a pipeline of the shape Source, CodeBuild with `docker build`, ECS. Further files may have
    its service and its load balancer. A - is the standard input.

    What is left out or assumed is printed on the standard error, a line each. A value that only AWS knows is printed as
    <NAME>.
    """
    from ruamel.yaml import YAML

    from pipeline.stacks.codepipeline.translation import translate

    imported = translate(
        {str(file): _read(file) for file in files},
        parameters=dict(map(split_parameter, parameters)),
        name=name,
        buildspec=None if buildspec is None else _read(buildspec),
        region=region,
    )
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(imported.content, sys.stdout)
    for note in imported.notes:
        click.echo(f"note: {note}", err=True)


def _read(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8") from error
