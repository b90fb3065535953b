"""Operations on one stack: create, update, replace, roll back, delete."""

from __future__ import annotations

from datetime import timedelta

from pipeline.stacks.start import start_update
from pipeline.stacks.status import StackStatus
from tests.support.stack_world import Node
from tests.unit.stacks.laboratory import Laboratory

CHAIN = {
    "Vpc": Node(name="vpc"),
    "Subnet": Node(name="subnet", uses=("Vpc",)),
    "Web": Node(name="web", uses=("Subnet",)),
}


def test_a_stack_is_created_in_the_order_of_its_dependencies(lab: Laboratory) -> None:
    """Each resource has the events of CloudFormation, and begins after those that it uses."""
    stack = lab.create(CHAIN)
    assert stack.status is StackStatus.CREATE_COMPLETE
    assert lab.events() == [
        ("lab", "CREATE_IN_PROGRESS"),
        *[
            (name, status)
            for name in ("Vpc", "Subnet", "Web")
            for status in ("CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS", "CREATE_COMPLETE")
        ],
        ("lab", "CREATE_COMPLETE"),
    ]
    assert lab.reasons("Vpc") == ["Resource creation Initiated", "a thing in memory"]


def test_a_failed_creation_is_rolled_back(lab: Laboratory) -> None:
    """What was made is deleted in reverse, what the failed create has left too, and the reasons name the resource."""
    stack = lab.create({**CHAIN, "Bad": Node(13, uses=("Web",)), "Never": Node(uses=("Bad",))})
    assert stack.status is StackStatus.ROLLBACK_COMPLETE
    assert lab.world.things == {}
    assert ("Never", "CREATE_IN_PROGRESS") not in lab.events()
    assert lab.reasons("Bad") == ["is unlucky"]
    assert "The following resource(s) failed to create: [Bad]. Rollback requested by user." in lab.reasons("lab")
    deleted = [name for name, status in lab.events() if status == "DELETE_COMPLETE"]
    assert deleted == ["Bad", "Web", "Subnet", "Vpc"]


def test_a_replacement_is_made_first_and_the_old_one_deleted_last(lab: Laboratory) -> None:
    """Users move to the new resource before the old one is deleted, in the cleanup."""
    lab.create(CHAIN)
    stack = lab.update({**CHAIN, "Vpc": Node(name="new")})
    assert stack.status is StackStatus.UPDATE_COMPLETE
    assert lab.world.calls[3:] == [
        ("create", lab.world.calls[3][1]),
        ("update", lab.world.calls[1][1]),
        ("delete", lab.world.calls[0][1]),
    ]
    events = lab.events()
    assert events.index(("lab", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")) < events.index(("Vpc", "DELETE_IN_PROGRESS"))


def test_a_failed_update_is_undone(lab: Laboratory) -> None:
    """Changed resources are changed back, replaced ones are current again, and new ones are deleted."""
    lab.create(CHAIN)
    before = lab.world.snapshot()
    stack = lab.update(
        {"Vpc": Node(name="new"), "Subnet": Node(5, "subnet", ("Vpc",)), "Bad": Node(13, uses=("Subnet",))}
    )
    assert stack.status is StackStatus.UPDATE_ROLLBACK_COMPLETE
    assert lab.world.snapshot() == before
    assert lab.update(CHAIN).status is StackStatus.UPDATE_COMPLETE
    assert lab.world.snapshot() == before


def test_an_unchanged_resource_is_not_called(lab: Laboratory) -> None:
    """An update calls providers only for what differs. A changed policy alone is stored without a call."""
    lab.create(CHAIN)
    calls = len(lab.world.calls)
    stack = lab.update({**CHAIN, "Vpc": Node(name="vpc", deletion_policy="Retain")})
    assert stack.status is StackStatus.UPDATE_COMPLETE
    assert len(lab.world.calls) == calls
    lab.delete()
    assert [thing.properties["Name"] for thing in lab.world.things.values()] == ["vpc"]


def test_a_retained_resource_stays(lab: Laboratory) -> None:
    """Retain keeps a resource when the stack is deleted, and says so."""
    lab.create({"Disk": Node(name="disk", deletion_policy="Retain"), "Web": Node(uses=("Disk",))})
    assert lab.delete().status is StackStatus.DELETE_COMPLETE
    assert [thing.properties["Name"] for thing in lab.world.things.values()] == ["disk"]
    assert ("Disk", "DELETE_SKIPPED") in lab.events()


def test_retain_except_on_create_deletes_what_a_failed_operation_made(lab: Laboratory) -> None:
    """RetainExceptOnCreate deletes the resource in the rollback of its creation. Retain keeps it."""
    nodes = {
        "Disk": Node(name="disk", deletion_policy="RetainExceptOnCreate"),
        "Kept": Node(name="kept", deletion_policy="Retain"),
        "Bad": Node(13, uses=("Disk", "Kept")),
    }
    assert lab.create(nodes).status is StackStatus.ROLLBACK_COMPLETE
    assert [thing.properties["Name"] for thing in lab.world.things.values()] == ["kept"]


def test_update_replace_policy_retains_the_old_resource(lab: Laboratory) -> None:
    """UpdateReplacePolicy Retain leaves the replaced resource."""
    lab.create({"Disk": Node(name="old")})
    lab.update({"Disk": Node(name="new", update_replace_policy="Retain")})
    assert sorted(thing.properties["Name"] for thing in lab.world.things.values()) == ["new", "old"]


def test_a_resource_that_cannot_be_deleted_fails_the_deletion(lab: Laboratory) -> None:
    """What it uses stays too. A second deletion may retain it."""
    lab.create(CHAIN)
    (web,) = [i for i, thing in lab.world.things.items() if thing.properties["Name"] == "web"]
    lab.world.undeletable.add(web)
    stack = lab.delete()
    assert stack.status is StackStatus.DELETE_FAILED
    assert stack.reason == "The following resource(s) failed to delete: [Web]."
    assert len(lab.world.things) == 3
    # What is retained is not the stack's any more, so it may lose what it uses.
    lab.world.things[web].properties["Uses"] = []
    assert lab.delete(("Web",)).status is StackStatus.DELETE_COMPLETE
    assert list(lab.world.things) == [web]


def test_what_a_cleanup_cannot_delete_is_deleted_with_the_stack(lab: Laboratory) -> None:
    """The update is complete nevertheless. The old resource is tried again with the next operation."""
    lab.create({"Disk": Node(name="old")})
    (old,) = lab.world.things
    lab.world.undeletable.add(old)
    assert lab.update({"Disk": Node(name="new")}).status is StackStatus.UPDATE_COMPLETE
    assert len(lab.world.things) == 2
    lab.world.undeletable.clear()
    assert lab.delete().status is StackStatus.DELETE_COMPLETE
    assert lab.world.things == {}


def test_pending_calls_are_repeated(lab: Laboratory) -> None:
    """A call that is pending is made again until it is done. The id is in the events at once."""
    lab.world.polls = 3
    assert lab.create(CHAIN).status is StackStatus.CREATE_COMPLETE
    assert [call for call, _ in lab.world.calls] == ["create"] * 12
    assert lab.delete().status is StackStatus.DELETE_COMPLETE


def test_a_call_that_stays_pending_fails_after_its_timeout(lab: Laboratory) -> None:
    """The deadline is the provider's, and its reason is in the event."""
    lab.world.polls, lab.world.interval = 10_000, timedelta(minutes=1)
    stack = lab.create({"Slow": Node()}, on_failure="DO_NOTHING")
    assert stack.status is StackStatus.CREATE_FAILED
    assert lab.reasons("Slow")[-1] == "not complete after 15m: growing"


def test_a_failure_can_be_kept(lab: Laboratory) -> None:
    """With DO_NOTHING, an update that failed stays. The next one goes on from there, or back to the start."""
    lab.create(CHAIN)
    before = lab.world.snapshot()
    bad = {**CHAIN, "Vpc": Node(name="new"), "Web": Node(13, "web", ("Subnet",))}
    assert lab.update(bad, on_failure="DO_NOTHING").status is StackStatus.UPDATE_FAILED
    assert lab.world.snapshot() != before
    worse = {**CHAIN, "Vpc": Node(name="newest"), "Web": Node(13, "other", ("Subnet",))}
    assert lab.update(worse).status is StackStatus.UPDATE_ROLLBACK_COMPLETE
    assert lab.world.snapshot() == before


def test_a_creation_that_fails_can_delete_the_stack(lab: Laboratory) -> None:
    """With DELETE, nothing is left, not even the stack."""
    assert lab.create({"Bad": Node(13)}, on_failure="DELETE").status is StackStatus.DELETE_COMPLETE
    assert lab.world.things == {}
    assert lab.store.find("shop", "lab") is None


def test_a_cancelled_update_is_rolled_back(lab: Laboratory) -> None:
    """What is pending is given up, and the rollback brings back the former state."""
    lab.create(CHAIN)
    before = lab.world.snapshot()
    lab.world.polls = 100
    operation_started = []

    def cancel(call: str, _when: str) -> None:
        if call == "create" and not operation_started:
            operation_started.append(call)
            lab.world.polls = 0
            running.cancel("User Initiated")

    start_update(lab.state(), lab.goal({**CHAIN, "Vpc": Node(name="new")}), frozenset())
    running = lab.operation()
    lab.world.on_call = cancel
    assert running.run().status is StackStatus.UPDATE_ROLLBACK_COMPLETE
    assert lab.world.snapshot() == before


def test_an_update_that_waits_for_others_holds_nobody_up(lab: Laboratory) -> None:
    """What depends on it is updated meanwhile, and brings about what it waits for."""
    lab.create(CHAIN)
    lab.world.waiting["subnet"] = lambda: any(t.properties["Size"] == 7 for t in lab.world.things.values())
    stack = lab.update({**CHAIN, "Subnet": Node(5, "subnet", ("Vpc",)), "Web": Node(7, "web", ("Subnet",))})
    assert stack.status is StackStatus.UPDATE_COMPLETE
    assert lab.world.given_up == []
    complete = [name for name, status in lab.events() if status == "UPDATE_COMPLETE"]
    assert complete == ["Web", "Subnet", "lab"]


def test_an_update_that_waits_for_nobody_goes_on(lab: Laboratory) -> None:
    """As soon as nothing else is in progress, it is told so. Two that wait for each other are told both."""
    lab.create(CHAIN)
    lab.world.waiting = {"subnet": lambda: False, "vpc": lambda: False}
    stack = lab.update({**CHAIN, "Vpc": Node(5, "vpc"), "Subnet": Node(5, "subnet", ("Vpc",))})
    assert stack.status is StackStatus.UPDATE_COMPLETE
    assert sorted(lab.world.given_up) == ["subnet", "vpc"]


def test_an_update_that_waits_is_cancelled_with_the_others(lab: Laboratory) -> None:
    """A failure of what it waits for rolls it back too."""
    lab.create(CHAIN)
    before = lab.world.snapshot()
    lab.world.waiting["subnet"] = lambda: False
    stack = lab.update({**CHAIN, "Subnet": Node(5, "subnet", ("Vpc",)), "Web": Node(13, "web", ("Subnet",))})
    assert stack.status is StackStatus.UPDATE_ROLLBACK_COMPLETE
    assert lab.world.snapshot() == before
