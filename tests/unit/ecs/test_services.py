"""The mapping of ECS services to pipelines: one change is one run, whoever repeats the call or dies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from pipeline.base.errors import ConfigError, PenstockError, StageFailed, StoreFault
from pipeline.ecs.records import Cluster
from pipeline.stacks.provider import Pending, StackContext, State
from pipeline.stacks.providers.ecs_cluster import EcsCluster
from pipeline.store.records import DeploymentState, RunKind, RunState
from tests.support.ecs_home import OWNER, SERVICE_TARGET, EcsHome
from tests.support.stack_group import GROUP

CONTEXT = StackContext("arn:…:stack/lab/1", "lab", OWNER, "eu-west-1", "000000000000")
TOKEN = "lab-Service-AAAAAAAAAAAA"


@pytest.fixture
def ecs() -> Iterator[EcsHome]:
    """A home without services."""
    made = EcsHome(CONTEXT)
    yield made
    made.close()


def create(ecs: EcsHome, **more: object) -> State | Pending:
    """Call create until the run has been started."""
    provider = ecs.service()
    properties = provider.properties.model_validate(ecs.properties(**more))
    provider.create(TOKEN, properties)
    return provider.create(TOKEN, properties)


def update(ecs: EcsHome, **more: object) -> State | Pending:
    """Call update once."""
    provider = ecs.service()
    (service,) = ecs.ecs.store.read().services
    before = provider.properties.model_validate(service.properties)
    return provider.update(service.arn, before, provider.properties.model_validate(ecs.properties(**more)))


def settled(ecs: EcsHome, **more: object) -> State:
    """Call update until it is done."""
    for _ in range(10):
        state = update(ecs, **more)
        if isinstance(state, State):
            return state
    raise AssertionError("the update stays pending")


def run_states(ecs: EcsHome) -> list[RunState]:
    (service,) = ecs.ecs.store.read().services
    return [run.state for run in ecs.runs(service)]


def test_a_service_is_known_before_its_run_and_has_the_ids_of_aws(ecs: EcsHome) -> None:
    """The first answer is pending, with the ARN, so a process that dies is followed by one that finds it."""
    ecs.is_working = False
    provider = ecs.service()
    properties = provider.properties.model_validate(ecs.properties(Cluster="default", ServiceName="web"))
    first = provider.create(TOKEN, properties)
    arn = "arn:aws:ecs:eu-west-1:000000000000:service/default/web"
    assert isinstance(first, Pending)
    assert (first.physical_id, provider.find(TOKEN)) == (arn, arn)
    ecs.is_working = True
    done = create(ecs, ServiceName="web")
    assert isinstance(done, State)
    assert (done.physical_id, done.attributes["Name"]) == (arn, "web")


def test_a_change_is_one_run_however_often_it_is_asked_for(ecs: EcsHome) -> None:
    """Creation and two different updates are three runs, in the order of the calls."""
    create(ecs)
    for _ in range(3):
        settled(ecs, DesiredCount=3)
    settled(ecs, DesiredCount=2)
    settled(ecs, DesiredCount=2)
    assert run_states(ecs) == [RunState.SUCCEEDED] * 3


def test_a_run_names_the_owner_of_the_access_key(ecs: EcsHome) -> None:
    """A deployment and a change of the number have a user, as those of commands have."""
    create(ecs)
    settled(ecs, DesiredCount=3)
    (service,) = ecs.ecs.store.read().services
    assert [run.by for run in ecs.runs(service)] == [OWNER] * 2


def test_a_change_that_moves_nothing_starts_no_run(ecs: EcsHome) -> None:
    """Another platform version has no meaning here. It is kept, and said in the reason."""
    create(ecs)
    state = settled(ecs, PlatformVersion="1.4.0")
    assert "PlatformVersion" in state.reason
    (service,) = ecs.ecs.store.read().services
    assert service.properties["PlatformVersion"] == "1.4.0"
    assert len(ecs.runs(service)) == 1


def test_another_target_group_is_a_run(ecs: EcsHome) -> None:
    """The service moves in place. So does one that gets a target group, or has none any more."""
    create(ecs)
    settled(ecs, LoadBalancers=[])
    settled(ecs)
    (service,) = ecs.ecs.store.read().services
    assert service.group is not None
    assert len(ecs.runs(service)) == 3


def test_no_tasks_and_then_some(ecs: EcsHome) -> None:
    """A count of 0 is deployed as any other, whatever the limits are."""
    create(ecs, DesiredCount=0)
    settled(ecs, DesiredCount=2)
    limits = {"MinimumHealthyPercent": 100, "MaximumPercent": 100}
    settled(ecs, DesiredCount=0, DeploymentConfiguration=limits)
    assert run_states(ecs) == [RunState.SUCCEEDED] * 3


def test_a_process_that_dies_before_it_notes_its_run_starts_another(ecs: EcsHome) -> None:
    """The run that nobody knows is cancelled first, so two never deploy different things."""
    ecs.is_working = False
    create(ecs)
    (service,) = ecs.ecs.store.read().services
    ecs.ecs.store.put_service(replace(service, run=None))
    create(ecs)
    ecs.is_working = True
    create(ecs)
    assert run_states(ecs) == [RunState.CANCELLED, RunState.SUCCEEDED]


def test_a_newer_change_stops_the_run_in_progress(ecs: EcsHome) -> None:
    """A rollback while a deployment runs cancels it, waits for its end, and then deploys what was before."""
    create(ecs)
    (service,) = ecs.ecs.store.read().services
    ecs.is_working = False
    update(ecs, DesiredCount=3)
    assert ecs.store.queue.claim(service.pipeline, "queued") is not None
    assert isinstance(update(ecs, DesiredCount=1), Pending)
    assert ecs.cancelled == [2]
    ecs.is_working = True
    settled(ecs, DesiredCount=1)
    assert run_states(ecs) == [RunState.SUCCEEDED, RunState.CANCELLED, RunState.SUCCEEDED]


def test_a_deployment_that_fails_gives_its_reason_and_can_be_tried_again(ecs: EcsHome) -> None:
    """The same update later is a new run."""
    create(ecs)
    ecs.outcomes.append((RunState.ROLLED_BACK, "web-1 was not healthy for 60 s; release 1 is active again"))
    with pytest.raises(StageFailed, match="was not healthy for 60 s"):
        settled(ecs, DesiredCount=3)
    settled(ecs, DesiredCount=3)
    assert run_states(ecs) == [RunState.SUCCEEDED, RunState.ROLLED_BACK, RunState.SUCCEEDED]


def test_deletion_takes_the_tasks_down_before_the_record_goes(ecs: EcsHome) -> None:
    """As long as that fails, the service is there, and the next call tries again."""
    create(ecs)
    provider = ecs.service()
    (service,) = ecs.ecs.store.read().services
    ecs.outcomes.append((RunState.FAILED, "Docker is away"))
    assert provider.delete(service.arn) is not None
    with pytest.raises(StageFailed, match="Docker is away"):
        provider.delete(service.arn)
    assert provider.read(service.arn) is not None
    assert provider.delete(service.arn) is not None
    assert provider.delete(service.arn) is None
    assert provider.read(service.arn) is None
    assert [run.kind for run in ecs.runs(service)] == [RunKind.RUN, RunKind.DOWN, RunKind.DOWN]
    assert ecs.released == [service.pipeline]


def test_a_count_that_is_left_out_stays(ecs: EcsHome) -> None:
    """A template without DesiredCount does not scale a service back."""
    create(ecs, DesiredCount=4)
    settled(ecs, HealthCheckGracePeriodSeconds=5)
    (service,) = ecs.ecs.store.read().services
    assert service.wanted.desired_count == 4


def test_a_count_whose_deployment_was_rolled_back_does_not_stay(ecs: EcsHome) -> None:
    """The count that the last successful deployment has set is the present one."""
    create(ecs, DesiredCount=2)
    (service,) = ecs.ecs.store.read().services
    row = ecs.store.deployments.begin(service.pipeline, 1, None, None)
    ecs.store.deployments.finish(row, DeploymentState.SUCCEEDED, "", wanted={"web": 2})
    ecs.outcomes.append((RunState.ROLLED_BACK, "too many"))
    with pytest.raises(StageFailed):
        settled(ecs, DesiredCount=4)
    settled(ecs)
    (service,) = ecs.ecs.store.read().services
    assert service.wanted.desired_count == 2


def test_a_run_has_the_configuration_that_was_there_when_it_was_queued(ecs: EcsHome) -> None:
    """What cannot be deployed is refused before anything is stored."""
    create(ecs)
    (before,) = ecs.ecs.store.read().services
    limits = {"MinimumHealthyPercent": 100, "MaximumPercent": 100}
    with pytest.raises(ConfigError, match="allow no replacement"):
        update(ecs, DeploymentConfiguration=limits)
    assert ecs.ecs.store.read().services == (before,)


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"Cluster": "none"}, "Cluster not found: none"),
        ({"TaskDefinition": "none:1"}, "TaskDefinition not found: none:1"),
        ({"LoadBalancers": [SERVICE_TARGET, SERVICE_TARGET]}, "at most one target group here, got 2"),
        ({"LoadBalancers": [{"ContainerName": "app", "ContainerPort": 8080}]}, "TargetGroupArn is required"),
        (
            {"LoadBalancers": [{**SERVICE_TARGET, "TargetGroupArn": "arn:x:targetgroup/web/00"}]},
            "The specified target group does not exist. (target group: arn:x:targetgroup/web/00)",
        ),
        (
            {"LoadBalancers": [{**SERVICE_TARGET, "ContainerName": "other"}]},
            "The container other does not exist in the task definition.",
        ),
        (
            {"LoadBalancers": [{**SERVICE_TARGET, "ContainerPort": 81}]},
            "The container app did not have a container port 81 defined.",
        ),
    ],
)
def test_bad_properties_are_refused_and_make_nothing(ecs: EcsHome, properties: dict[str, object], message: str) -> None:
    """The reason is in AWS's words where AWS refuses it too."""
    with pytest.raises(PenstockError) as caught:
        create(ecs, **properties)
    assert message in caught.value.message
    assert ecs.ecs.store.read().services == ()


def test_a_group_that_no_listener_forwards_to_is_refused(ecs: EcsHome) -> None:
    """No health check would ever pass there. While other resources are in progress, the service waits for one."""
    registry = ecs.balancer.registry()
    listeners = [found.id for found in registry.listeners.values()]
    ecs.balancer.change(OWNER, lambda known: known.drop(*listeners))
    found = create(ecs)
    assert isinstance(found, Pending)
    assert found.otherwise is not None
    with pytest.raises(ConfigError, match=f"group {GROUP} does not have an associated load balancer."):
        found.otherwise()
    assert ecs.ecs.store.read().services == ()


def test_a_name_that_is_taken_is_refused(ecs: EcsHome) -> None:
    """Another resource of a template cannot take a service over."""
    create(ecs, ServiceName="web")
    provider = ecs.service()
    properties = provider.properties.model_validate(ecs.properties(ServiceName="web"))
    with pytest.raises(ConfigError, match="identifier 'web' already exists"):
        provider.create("lab-Other-BBBBBBBBBBBB", properties)


def test_a_run_that_left_the_history_is_repeated(ecs: EcsHome) -> None:
    """A change that moves nothing succeeds years later too."""
    create(ecs)
    (service,) = ecs.ecs.store.read().services
    ecs.ecs.store.put_service(replace(service, run=99))
    settled(ecs, PlatformVersion="1.4.0")


def test_regions_have_clusters_and_families_of_their_own(ecs: EcsHome) -> None:
    """Two regions may use the same names."""
    cluster = Cluster(OWNER, "eu-west-1", "main", "t1")
    ecs.ecs.store.put_cluster(cluster)
    ecs.ecs.store.put_cluster(replace(cluster, region="eu-west-2", token="t2"))
    found = ecs.ecs.store.cluster(OWNER, "eu-west-2", "main")
    assert found is not None
    assert found.token == "t2"
    assert ecs.ecs.store.task_definition(OWNER, "web:1", "eu-west-2") is None
    assert ecs.ecs.store.task_definition(OWNER, "web:1", "eu-west-1") is not None


def test_a_cluster_with_services_is_not_deleted(ecs: EcsHome) -> None:
    """As in AWS."""
    provider = EcsCluster(ecs.ecs, CONTEXT)
    provider.create("c", provider.properties.model_validate({"ClusterName": "main"}))
    create(ecs, Cluster="main")
    with pytest.raises(ConfigError, match="cannot be deleted while Services are active"):
        provider.delete("main")


def test_a_file_of_another_program_is_an_error_of_the_store(ecs: EcsHome) -> None:
    """It is neither ignored nor overwritten."""
    ecs.ecs.store.file.write_text("[]")
    with pytest.raises(StoreFault, match=r"cannot read .*ecs\.json"):
        ecs.ecs.store.read()
    with pytest.raises(StoreFault):
        ecs.ecs.store.drop(OWNER, "arn")
    assert ecs.ecs.store.file.read_text() == "[]"


def test_a_circuit_breaker_of_a_template_counts_tasks(ecs: EcsHome) -> None:
    """Enabled, it is that of the service, and one that is disabled counts none."""
    create(ecs)
    counted = {"Enable": True, "Rollback": True, "ThresholdConfiguration": {"Type": "COUNT", "Value": 4}}
    for breaker, threshold in (({"Enable": True}, "50%"), (counted, 4), ({"Enable": False}, None)):
        settled(ecs, DeploymentConfiguration={"DeploymentCircuitBreaker": breaker})
        (service,) = ecs.ecs.store.read().services
        assert service.wanted.circuit_breaker == threshold
