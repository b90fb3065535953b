"""Commands to stacks: what they start, and what they refuse."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from pipeline.base.errors import BalancerFault, ConfigError
from pipeline.stacks.error import StackError
from pipeline.stacks.goals import StackRequest
from pipeline.stacks.stacks import NO_UPDATES
from pipeline.stacks.status import StackStatus
from pipeline.stacks.template import PREVIOUS_VALUE
from tests.support.stack_home import OWNER, REGION, StackHome, template
from tests.support.stack_world import THING
from tests.support.waiting import DEADLINE, until

WEB = template(
    {"Vpc": "{Name: vpc}", "Web": "{Size: !Ref Size, Name: web, Uses: [!Ref Vpc]}"},
    Parameters="{Size: {Type: Number, Default: 1}}",
    Outputs="{WebId: {Value: !Ref Web, Export: {Name: web-id}}, Size: {Value: !GetAtt Web.Size}}",
)


def refused(call: object, *arguments: object, **options: object) -> StackError:
    """Return the error of a call that is refused."""
    with pytest.raises(ConfigError) as caught:
        call(*arguments, **options)  # type: ignore[operator]
    return caught.value  # type: ignore[return-value]


def test_a_stack_lives_from_create_to_delete(home: StackHome) -> None:
    """Outputs and exports are those of its resources, parameters can be changed, and nothing is left at the end."""
    stack = home.create("web", WEB)
    assert stack.status is StackStatus.CREATE_COMPLETE
    assert stack.id.startswith("arn:aws:cloudformation:eu-west-1:000000000000:stack/web/")
    outputs = {output.name: output.value for output in stack.outputs}
    assert outputs["Size"] == "1"
    assert home.stacks.store.exports(OWNER) == [("web-id", outputs["WebId"], stack.id)]
    stack = home.update("web", None, {"Size": "2"})
    assert stack.status is StackStatus.UPDATE_COMPLETE
    assert home.sizes() == {"Vpc": 0, "Web": 2}
    assert home.delete("web").status is StackStatus.DELETE_COMPLETE
    assert home.world.things == {}
    assert home.stacks.store.exports(OWNER) == []
    assert home.create("web", WEB).id != stack.id


def test_what_a_creation_refuses(home: StackHome) -> None:
    """Names that are taken or not valid, types that are not offered and snapshots are refused. No stack is stored."""
    home.create("web", WEB)
    create = home.stacks.create
    request = StackRequest(WEB)
    found = refused(create, OWNER, REGION, "web", request)
    assert (found.code, found.message) == ("AlreadyExistsException", "Stack [web] already exists")
    assert "at 'stackName' failed to satisfy constraint" in refused(create, OWNER, REGION, "my_web", request).message
    unknown = StackRequest("Resources: {A: {Type: 'AWS::S3::Bucket'}}")
    assert "Unrecognized resource types: [AWS::S3::Bucket]" in refused(create, OWNER, REGION, "a", unknown).message
    snapshot = StackRequest(f"Resources: {{A: {{Type: '{THING}', DeletionPolicy: Snapshot}}}}")
    assert "Snapshot" in refused(create, OWNER, REGION, "a", snapshot).message
    assert [stack.name for stack in home.stacks.store.all(OWNER)] == ["web"]


def test_an_ignored_type_is_said_in_its_event(home: StackHome) -> None:
    """The other resources are made. Attributes of the ignored one are placeholders."""
    text = f"""
      Resources:
        Bucket: {{Type: 'AWS::S3::Bucket', Properties: {{BucketName: x}}}}
        Web: {{Type: '{THING}', Properties: {{Name: !GetAtt Bucket.Arn}}}}
    """
    stack = home.stacks.create(OWNER, REGION, "web", StackRequest(text, ignore_unknown=True))
    assert home.end(stack.id).status is StackStatus.CREATE_COMPLETE
    assert "AWS::S3::Bucket is not offered, so nothing was made (--ignore-unknown)" in home.reasons("web")
    (thing,) = home.world.things.values()
    assert thing.properties["Name"].endswith(".Arn")


def test_an_update_without_changes_is_refused(home: StackHome) -> None:
    """The text is the one that clients look for. A changed description changes nothing; an output does."""
    home.create("web", WEB)
    update = home.stacks.update
    same = StackRequest(None, {"Size": PREVIOUS_VALUE})
    assert refused(update, OWNER, "web", same).message == NO_UPDATES
    assert refused(update, OWNER, "web", StackRequest(f"Description: new\n{WEB}")).message == NO_UPDATES
    assert home.update("web", WEB.replace("web-id", "other-id")).status is StackStatus.UPDATE_COMPLETE
    assert [name for name, *_ in home.stacks.store.exports(OWNER)] == ["other-id"]
    message = refused(update, OWNER, "shop", StackRequest(WEB)).message
    assert message == "Stack [shop] does not exist"


def test_exports_are_unique_and_kept_while_they_are_imported(home: StackHome) -> None:
    """A second export of a name fails its stack. An import protects the exporting stack and the value."""
    home.create("web", WEB)
    assert home.create("other", WEB).status is StackStatus.ROLLBACK_COMPLETE
    assert any(r.startswith("Export with name web-id is already exported by stack web") for r in home.reasons("other"))
    user = template({"User": "{Name: !ImportValue web-id}"})
    assert home.create("user", user).status is StackStatus.CREATE_COMPLETE
    found = refused(home.stacks.delete, OWNER, "web")
    assert found.message == "Export web-id cannot be deleted as it is in use by user"
    replaced = home.update("web", WEB.replace("Name: web,", "Name: new,"))
    assert replaced.status is StackStatus.UPDATE_ROLLBACK_COMPLETE
    assert any("Export web-id cannot be updated as it is in use by user" in r for r in home.reasons("web"))
    home.delete("user")
    assert home.delete("web").status is StackStatus.DELETE_COMPLETE


def test_a_missing_export_is_named(home: StackHome) -> None:
    """An import of what no stack exports is refused before anything is made."""
    found = refused(
        home.stacks.create, OWNER, REGION, "user", StackRequest(template({"User": "{Name: !ImportValue nothing}"}))
    )
    assert "No export named nothing found" in found.message


def test_a_protected_stack_is_not_deleted(home: StackHome) -> None:
    """Termination protection refuses the deletion until it is disabled."""
    home.create("web", WEB, termination_protection=True)
    found = refused(home.stacks.delete, OWNER, "web")
    assert found.message == "Stack [web] cannot be deleted while TerminationProtection is enabled"
    home.stacks.protect(OWNER, "web", enabled=False)
    assert home.delete("web").status is StackStatus.DELETE_COMPLETE


def test_one_operation_at_a_time(home: StackHome) -> None:
    """A second command during an operation is refused with the state. Another stack is not affected."""
    going = threading.Event()
    home.world.on_call = lambda _call, when: going.wait(DEADLINE) is None if when == "before" else None
    stack = home.stacks.create(OWNER, REGION, "web", StackRequest(WEB))
    found = refused(home.stacks.update, OWNER, "web", StackRequest(WEB))
    assert found.message == f"Stack:{stack.id} is in CREATE_IN_PROGRESS state and can not be updated."
    other = home.stacks.create(OWNER, REGION, "other", StackRequest(template({"A": "a"})))
    going.set()
    assert home.end(stack.id).status is StackStatus.CREATE_COMPLETE
    assert home.end(other.id).status is StackStatus.CREATE_COMPLETE


def test_independent_resources_are_made_at_the_same_time(home: StackHome) -> None:
    """Calls for resources that do not use one another overlap."""
    met = threading.Barrier(4, timeout=DEADLINE)
    home.world.on_call = lambda _call, when: met.wait() if when == "before" else None
    assert home.create("web", template({f"R{i}": f"r{i}" for i in range(4)})).status is StackStatus.CREATE_COMPLETE


def test_an_interrupted_operation_is_resumed(home: StackHome) -> None:
    """A process that ends leaves the operation to the next one. Only one of two works on it."""
    home.world.polls = 1_000_000
    stack = home.stacks.create(OWNER, REGION, "web", StackRequest(WEB))
    until(lambda: home.world.things, "the first resource")
    home.stacks.close()
    home.world.settle()
    home.stacks = home.open()
    assert home.stacks.jobs.resume() == [stack.id]
    other = home.open()
    assert other.jobs.resume() == []
    other.close()
    assert home.end(stack.id).status is StackStatus.CREATE_COMPLETE


def test_others_complete_what_was_cut_short_before_an_operation_is_resumed(home: StackHome) -> None:
    """The balancer does so. Its failure does not stop the operation, and nothing is completed before a new one."""
    home.world.polls = 1_000_000
    stack = home.stacks.create(OWNER, REGION, "web", StackRequest(WEB))
    until(lambda: home.world.created, "a thing is begun")
    home.stacks.close()
    home.world.settle()
    home.stacks = home.open()
    created = list[int]()

    def fail() -> None:
        created.append(len(home.world.created))
        raise BalancerFault("HAProxy does not respond")

    home.stacks.jobs.on_resume.append(fail)
    assert home.stacks.jobs.resume() == [stack.id]
    assert home.end(stack.id).status is StackStatus.CREATE_COMPLETE
    assert created == [1]
    home.create("other", template({"Web": "{Name: other}"}))
    assert len(created) == 1


def test_a_creation_in_progress_can_be_deleted(home: StackHome) -> None:
    """What is pending is given up, and all of it deleted."""
    home.world.polls = 1_000_000
    stack = home.stacks.create(OWNER, REGION, "web", StackRequest(WEB))
    until(lambda: home.world.things, "the first resource")
    home.stacks.delete(OWNER, "web")
    home.world.settle()
    assert home.end(stack.id).status is StackStatus.DELETE_COMPLETE
    assert home.world.things == {}


def test_an_update_can_be_cancelled(home: StackHome) -> None:
    """The update is rolled back. A stack without an update in progress cannot be cancelled."""
    home.create("web", WEB)
    message = refused(home.stacks.cancel_update, OWNER, "web").message
    assert message == "CancelUpdateStack cannot be called from current stack status"
    home.world.polls = 1_000_000
    stack = home.stacks.update(OWNER, "web", StackRequest(None, {"Size": "2"}))
    until(lambda: home.sizes()["Web"] == 2, "the change")
    home.stacks.cancel_update(OWNER, "web")
    home.world.settle()
    assert home.end(stack.id).status is StackStatus.UPDATE_ROLLBACK_COMPLETE
    assert home.sizes() == {"Vpc": 0, "Web": 1}


def test_a_failed_rollback_can_be_continued(home: StackHome) -> None:
    """Resources that cannot be brought back can be skipped."""
    home.create("web", WEB)
    (web,) = [i for i, thing in home.world.things.items() if thing.properties["Name"] == "web"]
    home.world.failing.add("web")
    stack = home.update("web", None, {"Size": "13"})
    assert stack.status is StackStatus.UPDATE_ROLLBACK_FAILED
    home.stacks.continue_rollback(OWNER, "web")
    assert home.end(stack.id).status is StackStatus.UPDATE_ROLLBACK_FAILED
    home.stacks.continue_rollback(OWNER, "web", ["Web"])
    assert home.end(stack.id).status is StackStatus.UPDATE_ROLLBACK_COMPLETE
    assert web in home.world.things


def test_a_creation_has_a_time_limit(home: StackHome) -> None:
    """A creation that takes longer than its timeout is rolled back."""
    home.world.polls, home.world.interval = 1_000_000, timedelta(hours=1)
    home.world.on_call = lambda call, _when: home.world.settle() if call == "delete" else None
    stack = home.create("web", WEB, timeout=0.2)
    assert stack.status is StackStatus.ROLLBACK_COMPLETE
    assert any("exceeded the specified timeout" in reason for reason in home.reasons("web"))


def test_drift_is_found(home: StackHome) -> None:
    """A changed property, a deleted resource and an unchanged one are told apart. Nothing is changed."""
    home.create("web", WEB)
    assert home.drifts.detect(OWNER, "web").status == "IN_SYNC"
    vpc, web = sorted(home.world.things, key=lambda i: home.world.things[i].properties["Name"])
    home.world.things[web].properties["Size"] = 7
    del home.world.things[vpc]
    report = home.drifts.detect(OWNER, "web")
    assert report.status == "DRIFTED"
    found = {r["LogicalResourceId"]: r for r in report.resources}
    assert found["Vpc"]["StackResourceDriftStatus"] == "DELETED"
    assert found["Web"]["PropertyDifferences"] == [
        {"PropertyPath": "/Size", "ExpectedValue": "1", "ActualValue": "7", "DifferenceType": "NOT_EQUAL"}
    ]
    assert home.drifts.report(OWNER, "web")[1] == report
    assert home.drifts.report(OWNER, report.id)[1] == report
    home.world.things.clear()


def test_a_suspended_home_waits_no_longer_than_its_calls(home: StackHome) -> None:
    """Closing during an operation ends soon, and leaves the operation as it is."""
    home.world.polls = 1_000_000
    stack = home.stacks.create(OWNER, REGION, "web", StackRequest(WEB))
    until(lambda: home.world.things, "the first resource")
    home.stacks.close(timedelta(seconds=5))
    home.stacks = home.open()
    assert home.stacks.store.get(stack.id).status is StackStatus.CREATE_IN_PROGRESS


def test_a_value_that_cannot_be_computed_fails_its_resource(home: StackHome) -> None:
    """An attribute that a type does not have fails a creation, and an update is refused."""
    bad = template({"Web": "{Name: web}", "User": "{Name: !GetAtt Web.Nothing}"})
    assert home.create("web", bad).status is StackStatus.ROLLBACK_COMPLETE
    assert any("Nothing" in reason for reason in home.reasons("web"))
    assert home.world.things == {}
    home.delete("web")
    home.create("web", template({"Web": "{Name: web}", "User": "{Name: user}"}))
    assert "does not support attribute type Nothing" in refused(home.update, "web", bad).message
    home.delete("web")


def test_an_unexpected_error_of_a_provider_fails_the_resource(home: StackHome) -> None:
    """It is logged, and the operation ends."""

    def fail(call: str, when: str) -> None:
        if (call, when) == ("create", "after"):
            raise RuntimeError("broken")

    home.world.on_call = fail
    assert home.create("web", WEB).status is StackStatus.ROLLBACK_COMPLETE
    assert "internal failure: RuntimeError: broken" in home.reasons("web")
    assert home.world.things == {}


def test_stacks_that_were_deleted_long_ago_are_forgotten(home: StackHome) -> None:
    """The next creation removes what is stored about them."""
    stack = home.create("web", WEB)
    home.delete("web")
    store = home.stacks.store
    store.forget_deleted(OWNER, stack.created.wall)
    assert [found.name for found in store.all(OWNER)] == ["web"]
    store.forget_deleted(OWNER, home.stacks.clock.now().wall)
    assert store.all(OWNER) == []
    assert store.events(stack.id) == []
