"""`pipeline balancer import-classic`: a classic load balancer's description as a declaration."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from pipeline.base.errors import ConfigError


@click.command("import-classic", short_help="Translate a classic load balancer into a declaration.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))
@click.option("--name", metavar="NAME", help="Load balancer to translate, if several are described.")
def command(files: tuple[Path, ...], name: str | None) -> None:
    """Print the section `balancer` of pipeline.yaml for a classic load balancer (CLB) of AWS.

    FILE has what `aws elb describe-load-balancers` prints as JSON. Further files may have the outputs of
    `describe-load-balancer-attributes` and `describe-load-balancer-policies` for it. A - is the standard input.

    HTTP and HTTPS listeners become an application load balancer, TCP and SSL listeners a network load balancer. What
    cannot be carried over is printed on the standard error, a line each.
    """
    from ruamel.yaml import YAML

    from pipeline.balancer.classic.description import parse_description
    from pipeline.balancer.classic.translation import translate

    described: dict[str, Any] = {}
    for file in files:
        described |= _read(file)
    imported = translate(parse_description(described, name))
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump({"balancer": imported.balancer}, sys.stdout)
    for note in imported.notes:
        click.echo(f"note: {note}", err=True)


def _read(file: Path) -> dict[str, Any]:
    """Return the object in a file. Raises `ConfigError` if there is none."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
        found = json.loads(text)
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise ConfigError(f"{file}:{error.lineno}:{error.colno} is not JSON: {error.msg}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{file} must be a JSON object with LoadBalancerDescriptions")
    return found
