"""What `pipeline doctor` says of a Swarm."""

from __future__ import annotations

import pytest

from pipeline.doctor.finding import Finding, Status
from pipeline.doctor.swarm import kernel_findings, swarm_findings
from pipeline.engine.swarm.swarm import Availability, SwarmNode


def nodes(managers: int, workers: int = 0, **more: object) -> list[SwarmNode]:
    """Return the nodes of a Swarm, all in a zone."""
    count = managers + workers
    return [
        SwarmNode(f"n{number}", f"node{number}", "10.0.0.1", labels={"zone": "a"}, is_manager=number < managers, **more)  # type: ignore[arg-type]
        for number in range(count)
    ]


def texts(found: list[SwarmNode], *unknown: str) -> list[tuple[Status, str]]:
    """Return the findings about nodes."""
    return [(each.status, each.message) for each in swarm_findings(found, unknown)]


def test_a_swarm_of_three_managers_lacks_nothing() -> None:
    """Workers do not count."""
    assert texts(nodes(3, 2)) == [(Status.OK, "5 of 5 nodes take replicas, 3 are managers")]


@pytest.mark.parametrize(
    ("managers", "text"),
    [
        (1, "1 of its nodes is a manager: without 1 of them nothing is replaced"),
        (2, "2 of its nodes are managers: without 2 of them nothing is replaced"),
        (4, "4 of its nodes are managers: without 3 of them nothing is replaced"),
    ],
)
def test_the_number_of_managers_is_three_or_five(managers: int, text: str) -> None:
    """An even number bears no more losses than one less."""
    assert (Status.WARNING, text) in texts(nodes(managers))


def test_a_node_that_is_down_is_named() -> None:
    """The others take replicas."""
    found = [*nodes(3), SwarmNode("n9", "node9", "10.0.0.9", is_ready=False, labels={"zone": "a"})]
    assert texts(found)[1:] == [(Status.WARNING, "node node9 is down")]


def test_a_swarm_without_a_usable_node_fails() -> None:
    """Drained nodes take none."""
    assert texts(nodes(3, availability=Availability.DRAIN)) == [(Status.FAILED, "no node takes replicas")]


def test_a_node_without_a_zone_is_named_if_others_have_one() -> None:
    """The hint labels it."""
    found = [*nodes(3), SwarmNode("n9", "node9", "10.0.0.9")]
    (_, finding) = swarm_findings(found, [])
    assert finding == Finding.warning(
        "swarm", "node node9 is in no zone", "docker node update --label-add zone=NAME node9"
    )


def test_nodes_whose_engines_are_not_known_need_a_registry() -> None:
    """They are named."""
    assert texts(nodes(3), "node2", "node1")[1:] == [
        (
            Status.WARNING,
            "the engines of node1, node2 are not in deploy.hosts: images must come from a registry, and exec does not "
            "work there",
        )
    ]


@pytest.mark.parametrize(
    ("options", "missing"),
    [(None, 0), ({"CONFIG_IP_VS", "CONFIG_INET_ESP"}, 0), ({"CONFIG_IP_VS"}, 1), (frozenset(), 2)],
)
def test_what_the_kernel_lacks_is_said_if_it_tells(options: set[str] | None, missing: int) -> None:
    """Docker says nothing about it."""
    found = list(kernel_findings(options))
    assert len(found) == missing
    assert all("Penstock uses none" in each.message for each in found)
