"""ECS's API, by botocore's client over HTTP. Runs end as the test wants, and containers are those that it lists."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import WaiterError

from pipeline.ecs.api import ecs_service
from pipeline.ecs.records import Cluster, Service
from pipeline.engine.container import Container, ContainerHealth
from pipeline.engine.labels import LABEL_RELEASE, LABEL_RUN
from pipeline.stacks.provider import StackContext
from pipeline.stacks.providers.ecs_registration import requested_revision
from pipeline.store.records import DeploymentState, RunState
from tests.support.aws import aws_server, refusal
from tests.support.ecs_home import OWNER, EcsHome

CONTEXT = StackContext("arn:…:stack/lab/1", "lab", OWNER, "eu-west-1", "000000000000")
BREAKER = {"enable": True, "rollback": True}
FAST = {"Delay": 0.02, "MaxAttempts": 3}
WEB = {"cluster": "default", "service": "web"}


@dataclass
class Account:
    """The service `web`, a client, and the containers that run."""

    home: EcsHome
    aws: Any
    containers: list[Container] = field(default_factory=list)

    @property
    def service(self) -> Service:
        """The record."""
        (service,) = self.home.ecs.store.read().services
        return service

    def describe(self) -> Any:
        """Describe the service."""
        (found,) = self.aws.describe_services(services=["web"])["services"]
        return found

    def succeed(self, count: int) -> None:
        """Let the last run have put its revision into service, with so many containers."""
        pipeline, store = self.service.pipeline, self.home.store
        task = self.home.ecs.store.task_definition(OWNER, self.service.wanted.task_definition)
        assert task is not None
        (run, *_) = store.runs.latest(pipeline, limit=1)
        made = store.releases.create(
            pipeline, run.number, sha=task.sha, subject="", image_id="i", image_tag="t", spec="{}"
        )
        active = store.releases.active(pipeline)
        row = store.deployments.begin(pipeline, run.number, active.number if active else None, made.number)
        store.deployments.finish(row, DeploymentState.SUCCEEDED, "", wanted={"web": count})
        self.containers[:] = [container(made.number, run.number, each) for each in range(count)]


def container(release: int, run: int, number: int, state: str = "running") -> Container:
    """Return a container of a service."""
    labels = {LABEL_RELEASE: str(release), LABEL_RUN: str(run)}
    id_ = f"{release:032x}{number:032x}"[::-1]
    created = datetime(2026, 1, 1, 0, 0, number, tzinfo=UTC)
    return Container(id_, f"web-{number}", state, "shop:1", labels, f"10.0.0.{number + 1}", created)


@pytest.fixture
def account() -> Iterator[Account]:
    """The service `web`, whose two tasks run."""
    home = EcsHome(CONTEXT)
    containers: list[Container] = []
    offered = ecs_service(lambda: home.ecs, lambda _: containers, requested_revision)
    with aws_server(home.home.aws, [offered]) as server:
        made = Account(home, server.client("ecs", key=server.keys.create(OWNER)), containers)
        provider = home.service()
        properties = {**home.properties(DesiredCount=2, ServiceName="web"), "Tags": [{"Key": "team", "Value": "shop"}]}
        provider.create("token", provider.properties.model_validate(properties))
        provider.create("token", provider.properties.model_validate(properties))
        made.succeed(2)
        yield made
    home.close()


def test_a_service_is_described_and_stable(account: Account) -> None:
    """It has one deployment, and as many tasks as it wants."""
    account.aws.get_waiter("services_stable").wait(services=["web"], WaiterConfig=FAST)
    found = account.describe()
    assert found["serviceArn"] == account.aws.list_services()["serviceArns"][0]
    assert (found["status"], found["desiredCount"], found["runningCount"]) == ("ACTIVE", 2, 2)
    assert found["loadBalancers"][0]["containerName"] == "app"
    assert found["deployments"][0]["rolloutState"] == "COMPLETED"
    assert found["events"][0]["message"] == "(service web) has reached a steady state."
    assert "tags" not in found
    (tagged,) = account.aws.describe_services(services=[found["serviceArn"]], include=["TAGS"])["services"]
    assert tagged["tags"] == [{"key": "team", "value": "shop"}]


def test_clusters_task_definitions_and_tasks(account: Account) -> None:
    """Each is found by its name and its ARN. What does not exist is a failure, or an error of ECS."""
    aws = account.aws
    account.home.ecs.store.put_cluster(Cluster(OWNER, "eu-west-1", "main", "c"))
    assert [arn.rpartition("/")[2] for arn in aws.list_clusters()["clusterArns"]] == ["main", "default"]
    found = aws.describe_clusters(clusters=["default", "none"])
    assert found["failures"] == [{"arn": "none", "reason": "MISSING"}]
    assert (found["clusters"][0]["activeServicesCount"], found["clusters"][0]["runningTasksCount"]) == (1, 2)
    (definition,) = aws.list_task_definitions(familyPrefix="web")["taskDefinitionArns"]
    described = aws.describe_task_definition(taskDefinition="web")["taskDefinition"]
    assert described["taskDefinitionArn"] == definition
    assert described["containerDefinitions"][0]["portMappings"] == [{"containerPort": 8080}]
    account.containers.append(container(1, 1, 9, "exited"))
    arns = aws.list_tasks(serviceName="web")["taskArns"]
    assert len(arns) == 2
    assert len(aws.list_tasks(desiredStatus="STOPPED")["taskArns"]) == 1
    assert aws.list_tasks(family="other")["taskArns"] == []
    task, other = aws.describe_tasks(tasks=[arns[0], arns[1].rpartition("/")[2]])["tasks"]
    assert (task["taskDefinitionArn"], task["lastStatus"], other["taskArn"]) == (definition, "RUNNING", arns[1])
    assert task["containers"][0]["networkInterfaces"] == [{"privateIpv4Address": "10.0.0.1"}]
    aws.get_waiter("tasks_running").wait(tasks=arns, WaiterConfig=FAST)
    assert refusal(aws.list_tasks, serviceName="none")[0] == "ServiceNotFoundException"
    assert refusal(aws.list_services, cluster="none")[0] == "ClusterNotFoundException"
    assert refusal(aws.describe_task_definition, taskDefinition="none")[0] == "ClientException"


def test_a_revision_is_registered_and_deployed(account: Account) -> None:
    """As CI does it: the described revision with another image. A revision in use may be deregistered."""
    aws = account.aws
    described = aws.describe_task_definition(taskDefinition="web")["taskDefinition"]
    given = ("family", "containerDefinitions", "volumes", "placementConstraints")
    wanted = {key: described[key] for key in given}
    container = wanted["containerDefinitions"][0]
    container["image"] = "shop:2"
    container["dockerLabels"] = {"com.example.Team": "shop"}
    container["healthCheck"] = {"command": ["CMD", "true"], "interval": 5, "timeout": 5, "retries": 3}
    container["secrets"] = [{"name": "TOKEN", "valueFrom": "/shop/token"}]
    made = aws.register_task_definition(**wanted, tags=[{"key": "team", "value": "shop"}])
    revision = made["taskDefinition"]
    assert (revision["revision"], revision["status"], made["tags"]) == (2, "ACTIVE", [{"key": "team", "value": "shop"}])
    shown = aws.describe_task_definition(taskDefinition=revision["taskDefinitionArn"])["taskDefinition"]
    for key in ("image", "dockerLabels", "healthCheck", "secrets"):
        assert shown["containerDefinitions"][0][key] == container[key]
    aws.update_service(**WEB, taskDefinition="web:2")
    assert account.service.wanted.task_definition == revision["taskDefinitionArn"]
    gone = aws.deregister_task_definition(taskDefinition="web:2")["taskDefinition"]
    assert gone["status"] == "INACTIVE"
    assert aws.describe_task_definition(taskDefinition="web:2")["taskDefinition"]["status"] == "INACTIVE"
    assert refusal(aws.deregister_task_definition, taskDefinition="web")[0] == "ClientException"


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ({"privileged": True}, "#/ContainerDefinitions/0/Privileged: "),
        ({"dnsServers": ["10.0.0.1"]}, "#/ContainerDefinitions/0: extraneous key [DnsServers] is not permitted"),
        ({"healthCheck": {"command": ["CMD", "true"], "interval": 1}}, "HealthCheck/Interval: "),
        ({"systemControls": [{"namespace": "a", "value": "1"}]}, "SystemControls are not supported"),
        ({"ulimits": [{"name": "nofile", "softLimit": 2, "hardLimit": 1}]}, "must be at most hard"),
    ],
)
def test_a_revision_that_cannot_run_is_not_registered(
    account: Account, container: dict[str, Any], message: str
) -> None:
    """The code is ECS's, and nothing is kept."""
    before = account.home.ecs.store.read()
    wanted = {"name": "app", "image": "shop:2", **container}
    found = refusal(account.aws.register_task_definition, family="web", containerDefinitions=[wanted])
    assert found[0] == "ClientException"
    assert message in found[1]
    several = [{"name": each, "image": "shop:2"} for each in ("app", "agent")]
    found = refusal(account.aws.register_task_definition, family="web", containerDefinitions=several)
    assert "a task has exactly one container here, got 2" in found[1]
    assert account.home.ecs.store.read() == before


def test_the_health_of_a_task(account: Account) -> None:
    """It is that of the container's own check."""
    arns = account.aws.list_tasks(serviceName="web")["taskArns"]
    account.containers[0] = replace(account.containers[0], health=ContainerHealth.UNHEALTHY)
    account.containers[1] = replace(account.containers[1], health=ContainerHealth.STARTING)
    found = [task["healthStatus"] for task in account.aws.describe_tasks(tasks=arns)["tasks"]]
    assert found == ["UNHEALTHY", "UNKNOWN"]


def test_lists_come_in_pages(account: Account) -> None:
    """As the paginators of clients expect."""
    for _ in range(3):
        account.home.define()
    pages = account.aws.get_paginator("list_task_definitions").paginate(PaginationConfig={"PageSize": 3}, sort="DESC")
    found = [arn.rpartition(":")[2] for page in pages for arn in page["taskDefinitionArns"]]
    assert found == ["4", "3", "2", "1"]
    assert refusal(account.aws.list_clusters, nextToken="x")[1] == "Invalid token in request."


def test_an_update_is_a_deployment(account: Account) -> None:
    """While it is in progress, the former revision is a deployment too, so the service is not stable."""
    account.home.is_working = False
    task = account.home.define("shop:2")
    updated = account.aws.update_service(**WEB, taskDefinition="web", desiredCount=3)["service"]
    assert (updated["taskDefinition"], updated["desiredCount"]) == (task, 3)
    assert [each["status"] for each in updated["deployments"]] == ["PRIMARY", "ACTIVE"]
    with pytest.raises(WaiterError, match="Max attempts"):
        account.aws.get_waiter("services_stable").wait(services=["web"], WaiterConfig=FAST)
    account.home.is_working = True
    account.home.wake(account.service)
    account.succeed(3)
    account.aws.get_waiter("services_stable").wait(services=["web"], WaiterConfig=FAST)
    assert account.service.properties["DesiredCount"] == 3


def test_a_deployment_that_fails_leaves_the_service_as_it_was(account: Account) -> None:
    """The service has the former revision and count again, and an event tells why. The same update tries again."""
    before = account.describe()["taskDefinition"]
    account.home.outcomes.append((RunState.ROLLED_BACK, "web-1 was not healthy for 60 s"))
    task = account.home.define("shop:2")
    account.aws.update_service(**WEB, taskDefinition=task, desiredCount=5)
    found = account.describe()
    assert (found["taskDefinition"], found["desiredCount"], len(found["deployments"])) == (before, 2, 1)
    assert "deployment failed: web-1 was not healthy for 60 s" in found["events"][0]["message"]
    account.aws.update_service(**WEB, desiredCount=1)
    assert account.service.wanted.task_definition == before
    account.aws.update_service(**WEB, taskDefinition=task)
    assert account.describe()["taskDefinition"] == task


def test_a_forced_deployment_changes_the_containers_only(account: Account) -> None:
    """Each is one more run, with the same revision."""
    runs = len(account.home.runs(account.service))
    for _ in range(2):
        account.aws.update_service(**WEB, forceNewDeployment=True)
    assert account.service.wanted.forced == 2
    assert len(account.home.runs(account.service)) == runs + 2


def test_a_circuit_breaker_is_set_and_described(account: Account) -> None:
    """Half of the tasks by default. A later update that does not name it leaves it."""
    assert account.service.wanted.circuit_breaker is None
    breaker = {"enable": True, "rollback": True}
    account.aws.update_service(**WEB, deploymentConfiguration={"deploymentCircuitBreaker": breaker})
    assert account.service.wanted.circuit_breaker == "50%"
    counted = {**breaker, "thresholdConfiguration": {"type": "COUNT", "value": 7}}
    account.aws.update_service(**WEB, deploymentConfiguration={"deploymentCircuitBreaker": counted})
    account.aws.update_service(**WEB, desiredCount=4)
    assert account.service.wanted.circuit_breaker == 7
    found = account.describe()["deploymentConfiguration"]["deploymentCircuitBreaker"]
    assert found == {**counted, "resetOnHealthyTask": False}


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        ({"enableExecuteCommand": True}, "InvalidParameterException", "enableExecuteCommand cannot be changed here"),
        ({"taskDefinition": "none:3"}, "ClientException", "Unable to describe task definition."),
        (
            {"deploymentConfiguration": {"bakeTimeInMinutes": 3}},
            "InvalidParameterException",
            "deploymentConfiguration.bakeTimeInMinutes is not supported.",
        ),
        (
            {"deploymentConfiguration": {"minimumHealthyPercent": 100, "maximumPercent": 100}},
            "InvalidParameterException",
            "allow no replacement",
        ),
        (
            {"deploymentConfiguration": {"deploymentCircuitBreaker": {"enable": False, "rollback": False}}},
            "InvalidParameterException",
            "is always rolled back here",
        ),
        (
            {"deploymentConfiguration": {"deploymentCircuitBreaker": {**BREAKER, "resetOnHealthyTask": True}}},
            "InvalidParameterException",
            "deploymentCircuitBreaker.resetOnHealthyTask: a healthy task does not reset the count here.",
        ),
        (
            {
                "deploymentConfiguration": {
                    "deploymentCircuitBreaker": {
                        **BREAKER,
                        "thresholdConfiguration": {"type": "UNBOUNDED_PERCENT", "value": 50},
                    }
                }
            },
            "InvalidParameterException",
            "deploymentCircuitBreaker.ThresholdConfiguration: Type must be BOUNDED_PERCENT or COUNT here, got "
            "UNBOUNDED_PERCENT",
        ),
        (
            {
                "deploymentConfiguration": {
                    "deploymentCircuitBreaker": {**BREAKER, "thresholdConfiguration": {"type": "COUNT", "value": 0}}
                }
            },
            "InvalidParameterException",
            "deploymentCircuitBreaker.ThresholdConfiguration: Value must be at least 1, got 0",
        ),
        ({"service": "none"}, "ServiceNotFoundException", "Service not found."),
    ],
)
def test_what_is_refused_changes_nothing(account: Account, given: dict[str, Any], code: str, message: str) -> None:
    """The code is ECS's, and the text says why."""
    before = account.service
    found = refusal(account.aws.update_service, **{**WEB, **given})
    assert found[0] == code
    assert message in found[1]
    assert account.service == before
    assert "A stack makes and deletes it" in refusal(account.aws.create_cluster)[1]


def test_a_service_that_is_deleted_is_not_updated(account: Account) -> None:
    """It is draining until its tasks are gone."""
    account.home.is_working = False
    account.home.service().delete(account.service.arn)
    assert account.describe()["status"] == "DRAINING"
    assert refusal(account.aws.update_service, **WEB, desiredCount=1)[0] == "ServiceNotActiveException"
