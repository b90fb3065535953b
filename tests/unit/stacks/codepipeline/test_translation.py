"""A CodePipeline of the shape Source → CodeBuild → ECS becomes a pipeline.yaml that loads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.base.errors import ConfigError
from pipeline.config.load import load
from pipeline.stacks.codepipeline.translation import ImportedPipeline, translate
from pipeline.stacks.template import TemplateError
from tests.unit.stacks.codepipeline.examples import BLUE_GREEN, CODECOMMIT, CONNECTION, GITHUB, SERVICE

GIVEN = {"Owner": "you", "Stage": "production"}


def imported(templates: Mapping[str, str], folder: Path, **options: Any) -> ImportedPipeline:
    """Translate templates, and check that the result is a valid pipeline.yaml."""
    found = translate(templates, **{"parameters": {}, **options})
    file = folder / "pipeline.yaml"
    with file.open("w") as stream:
        YAML().dump(found.content, stream)
    load(file, secrets_needed=False)
    return found


def test_a_pipeline_with_a_source_of_github(tmp_path: Path) -> None:
    """Repository, build, tests, service, target group and listeners are carried over."""
    content = imported({"folder/shop.yaml": GITHUB}, tmp_path, parameters=GIVEN).content
    assert content["name"] == "shop-shop"
    assert content["source"] == {"repository": "https://github.com/you/shop.git", "branch": "trunk"}
    assert content["triggers"] == {"webhooks": {"github": {"secret": "${secret:WEBHOOK_SECRET}"}}}
    assert content["build"] == {
        "context": "services/shop",
        "dockerfile": "docker/Dockerfile",
        "target": "app",
        "args": {"PYTHON": "3.12"},
        "test": {"command": ["python", "-m", "pytest", "-q"], "environment": {"CI": "1"}},
    }
    assert content["deploy"] == {
        "target_group": "shoptargets",
        "approval": {},
        "replicas": 4,
        "rolling": {"max_surge": "50%", "max_unavailable": "25%"},
        "circuit_breaker": True,
        "command": ["gunicorn", "app:app"],
        "entrypoint": ["/entry"],
        "environment": {
            "STAGE": "production",
            "PATTERN": "$${name}",
            "DATABASE_PASSWORD": "${secret:DATABASE_PASSWORD}",
        },
        "memory": "1024MiB",
        "cpus": 0.5,
        "stop_grace": "45s",
        "deploy_timeout": "90s",
    }
    assert content["balancer"]["target_groups"] == {
        "shoptargets": {
            "protocol": "HTTP",
            "port": 5000,
            "health_check": {
                "path": "/healthz",
                "interval": "10s",
                "timeout": "5s",
                "healthy_threshold": 2,
                "unhealthy_threshold": 3,
                "matcher": "200-299",
            },
            "deregistration_delay": "20s",
            "attributes": {"stickiness.enabled": True, "stickiness.lb_cookie.duration_seconds": 600},
        }
    }
    assert content["balancer"]["load_balancers"] == {
        "public": {
            "type": "application",
            "listeners": [
                {
                    "protocol": "HTTP",
                    "port": 8080,
                    "default_action": {
                        "redirect": {"protocol": "HTTPS", "port": "8443", "status_code": "HTTP_301"},
                    },
                },
                {
                    "protocol": "HTTPS",
                    "port": 8443,
                    "certificates": [
                        {"certificate": "certificates/8443.pem", "private_key": "certificates/8443.key"},
                    ],
                    "default_action": {"forward": "shoptargets"},
                },
            ],
        }
    }


def test_what_is_left_out_is_listed(tmp_path: Path) -> None:
    """Each action, command, variable and key that is not carried over has a line, and no other."""
    assert imported({"shop.yaml": GITHUB}, tmp_path, parameters=GIVEN).notes == (
        "action Tell (Lambda, stage Deploy) is left out",
        "OAuthToken is left out: for a private repository write a token into the URL, or use an SSH URL",
        "the webhook needs `pipeline serve --public`, its URL /webhooks/NAME/github at GitHub, and the secret "
        "WEBHOOK_SECRET",
        "the build's variable DOCKER_PASSWORD from SECRETS_MANAGER is left out",
        "the buildspec's variable NPM_TOKEN from parameter-store is left out",
        "install: `npm ci` is left out: move it into the Dockerfile, or into build.test",
        "the build argument TAG is left out: its value is made by the build",
        "the secret DATABASE_PASSWORD comes from the environment or from secrets.file",
        "the key LogConfiguration of the container shop is left out",
        "the attribute proxy_protocol_v2.enabled of the target group is left out",
        "listener 8443: write its certificate and key into certificates/8443.pem and certificates/8443.key",
    )


def test_parameters_without_a_value(tmp_path: Path) -> None:
    """The first allowed value is assumed. Without any, the name stays in the text, and a note asks for it."""
    found = translate({"shop.yaml": GITHUB}, parameters={})
    assert found.content["source"]["repository"] == "https://github.com/<Owner>/shop.git"
    assert found.content["deploy"]["replicas"] == 2
    assert "parameter Stage has no value: staging is assumed" in found.notes
    assert "write a value in place of <Owner>, or give it by --parameter" in found.notes
    text = GITHUB.replace("Value: !Ref Stage", "Value: !GetAtt Repository.Arn")
    assert "write a value in place of <Repository.Arn>" in translate({"shop.yaml": text}, parameters=GIVEN).notes


def test_a_pipeline_with_a_connection(tmp_path: Path) -> None:
    """Triggers and mode of a V2 pipeline are carried over, and of its listener the rules of the service."""
    spec = """\
version: 0.2
reports: {all: {files: ["*"]}}
phases:
  build:
    commands:
      - docker build --tag api --ulimit nofile=1 .
      - docker build other
      - npm test && docker run -p 80:80 api check
      - echo "unfinished
"""
    found = imported({"api.yaml": CONNECTION}, tmp_path, buildspec=spec)
    assert found.content == {
        "name": "pipeline",
        "source": {"repository": "https://gitlab.com/team/api.git", "branch": "main", "paths": ["api/**"]},
        "triggers": {"branches": ["main", "release/*"], "tags": ["v*"]},
        "execution_mode": "queued",
        "deploy": {"target_group": "targets", "replicas": 1, "memory": "256MiB", "cpus": 0.5},
        "balancer": {
            "target_groups": {"targets": {"protocol": "HTTP", "port": 3000}},
            "load_balancers": {
                "balancer": {
                    "type": "application",
                    "listeners": [
                        {
                            "protocol": "HTTP",
                            "port": 8000,
                            "default_action": {"fixed_response": {"status_code": "404"}},
                            "rules": [
                                {
                                    "priority": 10,
                                    "conditions": [{"path_pattern": ["/api/*"]}, {"host_header": ["example.com"]}],
                                    "action": {"forward": "targets"},
                                }
                            ],
                        }
                    ],
                }
            },
        },
    }
    assert found.notes == (
        "the connection is left out: for a private repository write a token into the URL, or use an SSH URL",
        "Excludes of Branches in Triggers are left out",
        "triggers by pull requests are left out",
        "the buildspec's reports are left out: see build.test.reports",
        "the option --ulimit of `docker build --tag api --ulimit nofile=1 .` is left out",
        "`docker build other` is left out: a pipeline builds one image",
        "build: `npm test` is left out: move it into the Dockerfile, or into build.test",
        "`docker run -p 80:80 api check` is left out: see build.test",
        'build: `echo "unfinished` is left out: move it into the Dockerfile, or into build.test',
        "the container proxy is left out: a pipeline deploys one",
        "the key Ulimits of the container api is left out",
        "listener 8000: its default action is for another service, and becomes a 404",
        "the rule ByMethod is left out: its condition http-request-method is not carried over",
    )


def test_a_pipeline_with_its_service_in_another_template(tmp_path: Path) -> None:
    """The only service of all templates is the one that is deployed. Parameters are for each template that has them."""
    found = imported(
        {"pipeline.json": CODECOMMIT, "service.yaml": SERVICE},
        tmp_path,
        parameters={"Service": "app", "Cluster": "main"},
        region="eu-west-1",
    )
    assert found.content == {
        "name": "delivery",
        "source": {"repository": "https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/shop", "branch": "main"},
        "build": {"context": "app", "platforms": ["linux/amd64"]},
        "deploy": {"target_group": "web", "replicas": 1, "memory": "512MiB"},
        "balancer": {
            "target_groups": {"web": {"port": 9000}},
            "load_balancers": {"edge": {"listeners": [{"port": 8000, "default_action": {"forward": "web"}}]}},
        },
    }
    assert found.notes == (
        "CodeCommit asks for a user name and a password: write those of git into the URL",
        "the option --network of `docker buildx build --platform=linux/amd64 --network host --load app` is left out",
        "the service App is assumed to be the one that is deployed",
        "DesiredCount is 0: one container is assumed",
        "DeploymentConfiguration allows no progress: one container more is started during a rollout",
        "Volumes of the task definition are left out: see deploy.volumes",
        "the target group is in no given template: its health check has the defaults",
        "no listener of a given template forwards to it: HTTP on port 8000 is assumed",
    )


def test_a_pipeline_of_which_little_is_known(tmp_path: Path) -> None:
    """A source of another kind, a blue/green deployment and missing resources have defaults, each with a line."""
    found = imported({"bg.yaml": BLUE_GREEN}, tmp_path)
    assert found.content == {
        "name": "pipeline",
        "source": {"repository": "."},
        "execution_mode": "parallel",
        "deploy": {"target_group": "web"},
        "balancer": {
            "target_groups": {"web": {"port": 8080}},
            "load_balancers": {"edge": {"listeners": [{"port": 8000, "default_action": {"forward": "web"}}]}},
        },
    }
    assert found.notes == (
        "action Package (S3, stage Source) is no git repository: the one in this directory is used",
        "the project elsewhere of action Unit (CodeBuild, stage Test) is not in the template",
        "buildspec.yml is in the repository: give it by --buildspec",
        "no `docker build` was found: the Dockerfile in the root of the repository is assumed",
        "the deployment is rolled, instead of blue/green by CodeDeploy",
        "the service is in no given template: one container with port 8080 is assumed",
        "the target group is in no given template: its health check has the defaults",
        "no listener of a given template forwards to it: HTTP on port 8000 is assumed",
    )


def test_a_network_load_balancer(tmp_path: Path) -> None:
    """A service behind an NLB keeps its protocol."""
    text = (
        CONNECTION.replace("Properties: {Port: 3000, Protocol: HTTP}", "Properties: {Port: 3000, Protocol: TCP}")
        .replace("Balancer: {Type: AWS::ElasticLoadBalancingV2::LoadBalancer}", NETWORK)
        .replace("      Port: 8000\n", "      Port: 8000\n      Protocol: TCP\n")
        .replace("TargetGroupArn: !Ref Others", "TargetGroupArn: !Ref Targets")
    )
    balancer = imported(
        {"api.yaml": text[: text.index("  Rule:")] + text[text.index("  Pipeline:") :]}, tmp_path
    ).content["balancer"]
    assert balancer == {
        "target_groups": {"targets": {"protocol": "TCP", "port": 3000}},
        "load_balancers": {
            "balancer": {
                "type": "network",
                "listeners": [{"protocol": "TCP", "port": 8000, "default_action": {"forward": "targets"}}],
            }
        },
    }


NETWORK = "Balancer: {Type: AWS::ElasticLoadBalancingV2::LoadBalancer, Properties: {Type: network}}"


@pytest.mark.parametrize(
    ("right", "written", "note", "repository"),
    [
        (
            "ProviderType: GitLab",
            "ProviderType: GitHubEnterpriseServer",
            "",
            "https://<GitHubEnterpriseServer>/team/api.git",
        ),
        (
            "ConnectionArn: !Ref Connection",
            "ConnectionArn: arn",
            "the connection is not in the template: github.com is assumed",
            "https://github.com/team/api.git",
        ),
        ("ConnectionArn: !Ref Connection", "ConnectionArn: forge", "", "https://gitlab.com/team/api.git"),
    ],
)
def test_the_host_of_a_connection(right: str, written: str, note: str, repository: str) -> None:
    """The host is that of the connection's provider. One that the user runs has to be written in."""
    found = translate({"api.yaml": CONNECTION.replace(right, written)}, parameters={})
    assert found.content["source"]["repository"] == repository
    assert not note or note in found.notes


@pytest.mark.parametrize(
    ("command", "build", "note"),
    [
        ("docker build ../other", None, "the context ../other of `docker build ../other` is not in the repository"),
        ("docker build $DIR", None, "the context $DIR of `docker build $DIR` is not in the repository"),
        (
            "docker build -f ../Dockerfile app",
            {"context": "app"},
            "the Dockerfile ../Dockerfile is not in the context app",
        ),
        ("docker build -f app/Dockerfile app", {"context": "app"}, ""),
        ("docker build -f app/web.Dockerfile ./app/", {"context": "app", "dockerfile": "web.Dockerfile"}, ""),
        ("DOCKER_BUILDKIT=1 docker image build --pull .", None, ""),
        (
            "cd a && cd b && docker build --build-arg=A=1 --build-arg B .",
            {"context": "a/b", "args": {"A": "1"}},
            "B is left",
        ),
        ("(docker build a); docker push a", {"context": "a"}, ""),
        ("docker build \\\n  --target x \\\n  .", {"target": "x"}, ""),
        ("docker build -t a . ; docker run a", None, "`docker run a` is left out: see build.test"),
    ],
)
def test_a_docker_build(command: str, build: dict[str, Any] | None, note: str) -> None:
    """The context, the Dockerfile and the arguments are those of the first `docker build`."""
    found = translate({"api.yaml": CONNECTION}, parameters={}, buildspec=_spec(command))
    assert found.content.get("build") == build
    assert any(note in line for line in found.notes)


def _spec(command: str) -> str:
    lines = "".join(f"        {line}\n" for line in command.splitlines())
    return f"phases:\n  build:\n    commands:\n      - |\n{lines}"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (
            {"text": BLUE_GREEN.replace("CodeDeployToECS", "CloudFormation")},
            "Pipeline does not have the shape Source → CodeBuild with `docker build` → ECS: it has Source by S3, "
            "Test by CodeBuild, Build by CodeBuild, Deploy by CloudFormation",
        ),
        ({"text": SERVICE}, "there is no AWS::CodePipeline::Pipeline"),
        ({"name": "Other"}, "there is no AWS::CodePipeline::Pipeline Other"),
        ({"parameters": {"Ownr": "x"}}, "no template has the parameter Ownr"),
        ({"buildspec": "a: ["}, "buildspec.yml is not valid YAML: while parsing a flow node"),
        ({"buildspec": "- a"}, "buildspec.yml must be a mapping with phases"),
        (
            {"text": BLUE_GREEN.replace("  Pipeline:", "  Second: {Type: AWS::CodePipeline::Pipeline}\n  Pipeline:")},
            "there are several pipelines: Second, Pipeline",
        ),
    ],
)
def test_what_cannot_be_translated(options: dict[str, Any], error: str) -> None:
    """A pipeline of another shape and wrong options are refused, with the reason."""
    text = options.pop("text", BLUE_GREEN)
    with pytest.raises(ConfigError) as caught:
        translate({"t.yaml": text}, **{"parameters": {}, **options})
    assert caught.value.message == error


def test_one_of_several_pipelines() -> None:
    """A pipeline is chosen by its logical or its real name."""
    text = BLUE_GREEN.replace("  Pipeline:", "  Second: {Type: AWS::CodePipeline::Pipeline}\n  Pipeline:")
    assert translate({"t.yaml": text}, parameters={}, name="Pipeline").content["name"] == "pipeline"
    with pytest.raises(ConfigError, match=r"Second does not have the shape .* it has no actions"):
        translate({"t.yaml": text}, parameters={}, name="Second")


def test_a_template_with_a_mistake() -> None:
    """A mistake has its place."""
    with pytest.raises(TemplateError) as caught:
        translate({"t.yaml": BLUE_GREEN.replace("!Ref Build", "!Ref Bild")}, parameters={})
    assert caught.value.message.startswith("t.yaml:20:44: Resources.Pipeline.Properties.Stages[1].Actions[1]")


def test_a_value_that_does_not_fit_its_parameter() -> None:
    """A given value is checked as the template says. Without a value, the constraints do not matter."""
    text = "Parameters: {Size: {Type: Number, MinValue: 3}}\n" + BLUE_GREEN.replace(
        "S3Bucket: packages", "S3Bucket: !Ref Size"
    )
    translate({"t.yaml": text}, parameters={})
    with pytest.raises(ConfigError) as caught:
        translate({"t.yaml": text}, parameters={"Size": "2"})
    assert caught.value.message == "t.yaml: Parameters.Size: Parameter 'Size' must be a number not less than 3"


def test_a_value_of_the_parameter_store() -> None:
    """A given value is that of the parameter, and no name of another one."""
    found = translate({"p.json": CODECOMMIT}, parameters={"Service": "app", "Hub": "shop-delivery"})
    assert found.content["name"] == "shop-delivery"


def test_a_part_of_a_value_that_is_not_known() -> None:
    """A resource whose properties need a part of a name that AWS makes is left out, with a line."""
    text = CONNECTION.replace("Cpu: 1 vCPU", "Cpu: !Select [1, !Split ['/', !Ref Targets]]")
    found = translate({"api.yaml": text}, parameters={})
    assert "Resources.Task.Properties.Cpu.Fn::Select: the value is not known, so Task is left out" in found.notes
