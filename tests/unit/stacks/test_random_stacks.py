"""Random graphs, updates, failures and deaths of the process: what holds after each operation."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.stacks.status import StackStatus
from tests.support.mortal_process import ProcessDied
from tests.support.sample import sampled
from tests.support.stack_world import Node, World
from tests.unit.stacks.laboratory import Laboratory

UNLUCKY = 13
# On a disk, syncing each transaction would take most of the time.
_MEMORY = Path("/dev/shm")
NAMES = [f"R{number}" for number in range(7)]


@st.composite
def graphs(draw: st.DrawFn, *, unlucky: bool = True) -> dict[str, Node]:
    """A graph without cycles. Some of its resources may fail."""
    chosen = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
    sizes = st.sampled_from([0, 1, 2, UNLUCKY] if unlucky else [0, 1, 2])
    nodes = {}
    for index, name in enumerate(chosen):
        uses = draw(st.lists(st.sampled_from(chosen[:index]), unique=True, max_size=3)) if index else []
        nodes[name] = Node(draw(sizes), draw(st.sampled_from("ab")), tuple(uses))
    return nodes


def expected(nodes: dict[str, Node]) -> list[str]:
    """Return what a graph means, without ids."""

    def shape(name: str) -> str:
        node = nodes[name]
        return f"{name}:{node.size}{node.name}({','.join(sorted(map(shape, node.uses)))})"

    return sorted(shape(name) for name in nodes)


def found(world: World) -> list[str]:
    """Return what is in the world, in the form of `expected`."""
    logical = {i: thing.token.split("-")[1] for i, thing in world.things.items()}

    def shape(physical_id: str) -> str:
        properties = world.things[physical_id].properties
        return (
            f"{logical[physical_id]}:{properties['Size']}{properties['Name']}"
            f"({','.join(sorted(map(shape, properties['Uses'])))})"
        )

    return sorted(map(shape, world.things))


def interrupt(lab: Laboratory, start: Callable[[], object]) -> None:
    """Let the process die right after the start of an operation is on disk."""
    lab.countdown.left = 1
    with suppress(ProcessDied):
        start()


def complete(lab: Laboratory, deaths: list[int]) -> None:
    """Work until the operation is over, in processes that die at the given side effects."""
    for death in deaths:
        lab.countdown.left = death
        try:
            lab.work()
        except ProcessDied:
            continue
        break
    lab.survive()


OPERATIONS = st.lists(st.tuples(graphs(), st.lists(st.integers(0, 60), max_size=4)), min_size=1, max_size=4)


@settings(
    max_examples=sampled(60),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(operations=OPERATIONS, polls=st.integers(0, 2), deletion=st.lists(st.integers(0, 30), max_size=3))
def test_random_operations(
    operations: list[tuple[dict[str, Node], list[int]]], polls: int, deletion: list[int]
) -> None:
    """After each operation there is exactly what the last good template says. Nothing is left over or made twice.

    The process dies at random side effects, and the next one continues. Nothing is used before it exists, or deleted
    while it is used.
    """
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        lab = Laboratory(Path(folder))
        lab.world.polls = polls
        (first, deaths), *updates = operations
        interrupt(lab, lambda: lab.create(first))
        complete(lab, deaths)
        good: dict[str, Node] = {}
        if all(node.size != UNLUCKY for node in first.values()):
            assert lab.stack.status is StackStatus.CREATE_COMPLETE
            good = first
        else:
            assert lab.stack.status is StackStatus.ROLLBACK_COMPLETE
        assert found(lab.world) == expected(good)
        for nodes, deaths in updates if good else []:
            before = lab.world.snapshot()
            interrupt(lab, partial(lab.update, nodes))
            complete(lab, deaths)
            if all(node.size != UNLUCKY for node in nodes.values()):
                assert lab.stack.status is StackStatus.UPDATE_COMPLETE
                good = nodes
            else:
                assert lab.stack.status is StackStatus.UPDATE_ROLLBACK_COMPLETE
                assert lab.world.snapshot() == before
            assert found(lab.world) == expected(good)
        interrupt(lab, lab.delete)
        complete(lab, deletion)
        assert lab.stack.status is StackStatus.DELETE_COMPLETE
        assert lab.world.things == {}
        assert lab.world.violations == []
        assert lab.store.resources(lab.stack_id) == []
        lab.store.close()


@settings(max_examples=sampled(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(operations=OPERATIONS, undeletable=st.sets(st.sampled_from(NAMES), max_size=2))
def test_random_leftovers(operations: list[tuple[dict[str, Node], list[int]]], undeletable: set[str]) -> None:
    """What cannot be deleted stays, never spoils a later operation, and is deleted with the stack at last."""
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        lab = Laboratory(Path(folder))
        (first, _), *updates = operations
        lab.create(first)
        lab.world.undeletable = undeletable
        if lab.stack.status is StackStatus.CREATE_COMPLETE:
            good = first
            for nodes, deaths in updates:
                interrupt(lab, partial(lab.update, nodes))
                complete(lab, deaths)
                if lab.stack.status is StackStatus.UPDATE_COMPLETE:
                    good = nodes
                else:
                    assert lab.stack.status is StackStatus.UPDATE_ROLLBACK_COMPLETE
                assert not Counter(expected(good)) - Counter(found(lab.world))
        lab.delete()
        lab.world.undeletable = set()
        if lab.stack.status is StackStatus.DELETE_FAILED:
            lab.delete()
        assert lab.stack.status is StackStatus.DELETE_COMPLETE
        assert lab.world.things == {}
        assert lab.world.violations == []
        lab.store.close()
