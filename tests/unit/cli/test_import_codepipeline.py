"""`pipeline import codepipeline`: a CodePipeline as a pipeline.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from ruamel.yaml import YAML

from pipeline.base.errors import ConfigError
from pipeline.cli.program import cli

TEMPLATE = """\
Parameters: {Repository: {Type: String}}
Resources:
  Build: {Type: AWS::CodeBuild::Project}
  Shop:
    Type: AWS::CodePipeline::Pipeline
    Properties:
      Stages:
        - Name: Source
          Actions:
            - Name: Code
              ActionTypeId: {Category: Source, Owner: AWS, Version: "1", Provider: CodeCommit}
              Configuration: {RepositoryName: !Ref Repository, BranchName: main}
        - Name: Build
          Actions:
            - Name: Build
              ActionTypeId: {Category: Build, Owner: AWS, Version: "1", Provider: CodeBuild}
              Configuration: {ProjectName: !Ref Build}
        - Name: Deploy
          Actions:
            - Name: Deploy
              ActionTypeId: {Category: Deploy, Owner: AWS, Version: "1", Provider: ECS}
              Configuration: {ServiceName: shop}
"""


def run(*arguments: str, given: str = TEMPLATE) -> Result:
    """Run the command with a template on its standard input."""
    return CliRunner().invoke(cli, ["import", "codepipeline", *arguments], input=given)


def test_it_prints_a_pipeline_and_notes(tmp_path: Path) -> None:
    """The file goes to the standard output, and what is left out to the standard error."""
    spec = tmp_path / "buildspec.yml"
    spec.write_text("phases: {build: {commands: [docker build app]}}")
    done = run("-", "--parameter", "Repository=shop", "--region", "eu-west-1", "--buildspec", str(spec))
    assert done.exit_code == 0
    content = YAML(typ="safe").load(done.stdout)
    assert content["source"]["repository"] == "https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/shop"
    assert content["build"] == {"context": "app"}
    assert done.stderr.splitlines()[0] == (
        "note: CodeCommit asks for a user name and a password: write those of git into the URL"
    )


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["nothing.yaml"], "nothing.yaml cannot be read: No such file or directory"),
        (["-", "-p", "Repository"], "-p Repository: must have the form NAME=VALUE"),
        (["-", "--pipeline", "Other"], "there is no AWS::CodePipeline::Pipeline Other"),
    ],
)
def test_a_mistake_is_an_error(arguments: list[str], error: str) -> None:
    """A file that cannot be read, and options that do not fit, are errors."""
    done = run(*arguments)
    assert isinstance(done.exception, ConfigError)
    assert done.exception.message == error


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    """A template has to be UTF-8."""
    file = tmp_path / "a.yaml"
    file.write_bytes(b"\xe4")
    done = run(str(file))
    assert isinstance(done.exception, ConfigError)
    assert done.exception.message == f"{file} is not UTF-8"
