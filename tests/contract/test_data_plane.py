"""Contract of `DataPlane`, kept by every data plane."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.balancer.data_plane import WantedTarget
from pipeline.balancer.effective import EffectiveNetworkListener
from tests.contract.planes import GROUP, FakeHarness, HAProxyHarness, Harness, KernelHarness
from tests.support.namespace import obstacle
from tests.support.waiting import until


@pytest.fixture(
    params=[
        "fake",
        "fake, network",
        "haproxy",
        "haproxy, network",
        "haproxy, zones",
        "haproxy, network zones",
        "kernel",
        "kernel, zones",
    ]
)
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Harness]:
    """A plane that was not started. Its listener is of an application or a network load balancer.

    With zones and without cross-zone balancing, each target is in two pools, because it is in no zone.
    """
    plane, _, kind = request.param.partition(", ")
    given = {"network": "network" in kind, "zones": "zones" in kind}
    if plane == "kernel":
        if reason := obstacle():
            assert not os.environ.get("CI"), reason
            pytest.skip(reason)
        harness: Harness = KernelHarness(tmp_path / "plane", zones=given["zones"])
    elif plane == "fake":
        harness = FakeHarness(**given)
    else:
        harness = HAProxyHarness(tmp_path / "plane", **given)
    try:
        yield harness
    finally:
        harness.close()


def test_a_plane_that_was_not_applied_does_not_run(harness: Harness) -> None:
    """A plane that was not applied has no facts and no process, and can be stopped."""
    facts = harness.plane.observe()
    assert (facts.running, dict(facts.targets), harness.plane.pid()) == (False, {}, None)
    assert harness.plane.flow_counts() == ()
    harness.plane.stop()


def test_apply_says_that_it_started(harness: Harness) -> None:
    """The first `apply` starts the plane, and the second one keeps the process."""
    assert harness.plane.apply(harness.config()) is True
    pid = harness.plane.pid()
    assert pid is not None
    assert harness.plane.apply(harness.config()) is False
    assert harness.plane.pid() == pid
    assert {group: dict(known) for group, known in harness.plane.observe().targets.items()} == {GROUP: {}}


def test_choices_name_listeners_of_network_load_balancers(harness: Harness) -> None:
    """`choices` has a plane and a reason for each of them, before anything runs. Others have no choice."""
    config = harness.config()
    choices = harness.plane.choices(config)
    is_network = [isinstance(each, EffectiveNetworkListener) for each in config.listeners]
    assert choices.keys() == {
        each.number for each, network in zip(config.listeners, is_network, strict=True) if network
    }
    assert all(choice.reason and not choice.is_missing for choice in choices.values())


def test_observe_tells_of_the_groups_that_are_asked_for(harness: Harness) -> None:
    """`observe` returns the requested groups that the plane carries."""
    harness.plane.apply(harness.config(groups=("web", "api")))
    assert set(harness.plane.observe().targets) == {GROUP, "shop.api"}
    assert set(harness.plane.observe([GROUP, "shop.other"]).targets) == {GROUP}


def test_a_new_target_is_closed_and_checked(harness: Harness) -> None:
    """A target that passed its check gets no requests before it is admitted."""
    harness.plane.apply(harness.config())
    harness.plane.steer(harness.group(harness.target("a")))
    fact = harness.await_pass("a")
    assert (fact.admitted, fact.up, fact.in_flight) == (False, False, 0)
    assert harness.ask() is None


def test_extending_a_group_leaves_its_other_targets(harness: Harness) -> None:
    """`extend` adds a closed target whose checks run. The others stay as they are, although it does not list them."""
    harness.serve("a")
    assert harness.plane.extend(harness.group(harness.target("b"))) is True
    facts = harness.facts()
    assert (facts["a"].admitted, facts["b"].admitted) == (True, False)
    assert {harness.ask() for _ in range(4)} == {"a"}
    harness.await_pass("b")
    harness.plane.steer(harness.group(harness.target("a", admit=True), harness.target("b", admit=True)))
    assert [fact.admitted for fact in harness.facts().values()] == [True, True]


def test_extending_by_a_former_target_starts_over(harness: Harness) -> None:
    """A target that `extend` adds again is closed, and what its checks found before does not count."""
    harness.serve("a", "b")
    harness.answer_checks("a", 503)
    assert harness.plane.extend(harness.group(harness.target("a"))) is True
    fact = harness.plane.observe([GROUP]).targets[GROUP]["a"]
    assert (fact.admitted, fact.check.has_passed_check) == (False, False)
    assert {harness.ask() for _ in range(4)} == {"b"}


def test_extend_refuses_what_it_cannot_do(harness: Harness) -> None:
    """`extend` closes a former target with open requests and returns False, as it does for an unknown group."""
    harness.serve("a", "b")
    harness.plane.steer(harness.group(harness.target("a", admit=True), harness.target("b", checked=False)))
    harness.begin("a")
    assert harness.plane.extend(harness.group(harness.target("a"))) is False
    fact = harness.fact("a")
    assert fact is not None
    assert (fact.admitted, fact.in_flight) == (False, 1)
    assert harness.finish("a") is True
    assert harness.plane.extend(replace(harness.group(harness.target("c")), name="unknown")) is False


def test_an_admitted_target_gets_requests(harness: Harness) -> None:
    """An admitted target gets requests as soon as `steer` returns."""
    harness.serve("a", "b")
    assert {harness.ask() for _ in range(4)} <= {"a", "b"}
    facts = harness.facts()
    assert [(facts[name].admitted, facts[name].up) for name in "ab"] == [(True, True)] * 2


def test_a_check_that_fails_says_how(harness: Harness) -> None:
    """A failed check has a code, and its target gets no requests while another one is up."""
    harness.serve("a", "b")
    harness.answer_checks("a", 503)
    # A check may fail by its timeout before.
    fact = until(lambda: (f := harness.fact("a")) and not f.up and f.check.code and f, "a is down")
    assert (fact.check.outcome, fact.check.code, fact.admitted) == ("mismatch", "503", True)
    # In zones, each node checks by itself, and the fact is that of the first one to fail.
    until(lambda: {harness.ask() for _ in range(6)} == {"b"}, "no requests to a")
    assert {harness.ask() for _ in range(6)} == {"b"}
    harness.answer_checks("a", 200)
    until(lambda: (f := harness.fact("a")) and f.up, "a is up again")


def test_a_new_target_that_fails_has_not_passed(harness: Harness) -> None:
    """A new target whose check fails has an outcome other than a pass."""
    harness.answer_checks("a", 500)
    harness.plane.apply(harness.config(harness.target("a")))
    fact = until(lambda: (f := harness.fact("a")) and f.check.outcome == "mismatch" and f, "a check has failed")
    assert not fact.check.has_passed_check


def test_a_closed_target_gets_nothing_new(harness: Harness) -> None:
    """A closed target gets no new requests, and its open requests finish."""
    harness.serve("a")
    harness.begin("a")
    harness.plane.steer(harness.group(harness.target("a", checked=False)))
    fact = harness.fact("a")
    assert fact is not None
    assert (fact.admitted, fact.in_flight, fact.check.outcome) == (False, 1, "none")
    assert harness.ask() is None
    assert harness.finish("a") is True
    until(lambda: (f := harness.fact("a")) and f.in_flight == 0, "nothing is in flight")


def test_a_target_that_is_no_longer_listed_is_removed(harness: Harness) -> None:
    """An unlisted target is closed, and removed after its open requests."""
    harness.serve("a", "b")

    def is_gone(name: str, *others: WantedTarget) -> bool:
        harness.plane.steer(harness.group(*others))
        return name not in harness.facts()

    until(lambda: is_gone("b", harness.target("a", admit=True)), "b is removed")
    harness.begin("a")
    harness.plane.steer(harness.group())
    fact = harness.fact("a")
    assert fact is not None
    assert (fact.admitted, fact.in_flight) == (False, 1)
    assert harness.finish("a") is True
    until(lambda: is_gone("a"), "a is removed")


def test_abort_breaks_what_is_in_flight(harness: Harness) -> None:
    """`abort` closes a target's open requests and ignores an unknown target."""
    harness.serve("a")
    harness.begin("a")
    harness.plane.steer(harness.group(harness.target("a", checked=False)))
    harness.plane.abort(GROUP, "a")
    until(lambda: (f := harness.fact("a")) and f.in_flight == 0, "nothing is in flight")
    assert harness.finish("a") is False
    harness.plane.abort(GROUP, "unknown")
    harness.plane.abort("shop.unknown", "a")


def test_a_target_that_comes_back_is_checked_from_the_beginning(harness: Harness) -> None:
    """A pass from before a target was closed does not count."""
    harness.serve("a")
    harness.plane.steer(harness.group(harness.target("a", checked=False)))
    harness.answer_checks("a", 503)
    harness.plane.steer(harness.group(harness.target("a")))
    fact = harness.plane.observe([GROUP]).targets[GROUP]["a"]
    assert (fact.admitted, fact.check.has_passed_check) == (False, False)
    until(lambda: (f := harness.fact("a")) and f.check.outcome == "mismatch", "it is checked")
    harness.answer_checks("a", 200)
    harness.await_pass("a")
    harness.plane.steer(harness.group(harness.target("a", admit=True)))
    assert harness.ask() == "a"


def test_an_open_target_that_should_be_closed_is_checked_from_the_beginning(harness: Harness) -> None:
    """An open target that becomes new is closed and must pass again."""
    harness.serve("a")
    harness.answer_checks("a", 503)
    harness.plane.steer(harness.group(harness.target("a")))
    fact = harness.plane.observe([GROUP]).targets[GROUP]["a"]
    assert (fact.admitted, fact.check.has_passed_check) == (False, False)
    assert harness.ask() is None


def test_another_address_is_another_target(harness: Harness) -> None:
    """Checks of the previous address do not count, and it gets no more requests."""
    harness.serve("a")
    former = harness.target("a")
    harness.replace_server("a")
    harness.answer_checks("a", 503)
    current = harness.target("a")
    assert current.endpoint != former.endpoint
    harness.plane.steer(harness.group(current))
    fact = harness.plane.observe([GROUP]).targets[GROUP]["a"]
    assert (fact.admitted, fact.check.has_passed_check, fact.endpoint) == (False, False, current.endpoint)
    assert harness.ask() is None
    harness.answer_checks("a", 200)
    harness.await_pass("a")
    harness.plane.steer(harness.group(replace(current, admit=True)))
    assert harness.ask() == "a"


def test_a_leaving_target_is_not_added(harness: Harness) -> None:
    """A leaving target that the plane does not have is not added."""
    harness.plane.apply(harness.config(harness.target("a", checked=False)))
    harness.plane.steer(harness.group(harness.target("a", checked=False)))
    assert harness.facts() == {}


def test_a_target_that_nothing_checks_counts_as_healthy(harness: Harness) -> None:
    """An unchecked target is up as soon as it is admitted."""
    harness.plane.apply(harness.config(harness.target("a", admit=True, checked=False)))
    fact = harness.fact("a")
    assert fact is not None
    assert (fact.admitted, fact.up, fact.check.outcome) == (True, True, "none")
    assert harness.ask() == "a"


def test_a_crash_is_seen_and_apply_starts_again(harness: Harness) -> None:
    """After a crash, `apply` opens admitted targets and checks the others."""
    harness.serve("a")
    harness.crash()
    facts = harness.plane.observe()
    assert (facts.running, harness.plane.pid()) == (False, None)
    harness.answer_checks("new", 500)
    assert harness.plane.apply(harness.config(harness.target("a", admit=True), harness.target("new"))) is True
    assert {harness.ask() for _ in range(4)} == {"a"}
    known = harness.facts()
    assert (known["a"].admitted, known["new"].admitted) == (True, False)


def test_a_stopped_plane_is_continued_and_loses_nothing(harness: Harness) -> None:
    """A signal that stops its processes is seen. After `resume`, open requests continue."""
    harness.serve("a")
    assert harness.plane.stopped() == harness.plane.resume() == ()
    harness.begin("a")
    harness.halt()
    found = harness.plane.stopped()
    assert harness.plane.pid() in found
    assert harness.plane.resume() == found
    until(lambda: harness.plane.stopped() == (), "the plane runs on")
    assert harness.finish("a")
    assert harness.ask() == "a"


def test_a_plane_that_responds_is_not_ended(harness: Harness) -> None:
    """Nor is one that does not run."""
    assert not harness.plane.end_if_hung()
    harness.serve("a")
    assert not harness.plane.end_if_hung()
    assert harness.ask() == "a"


def test_a_plane_that_is_cut_off_is_ended(harness: Harness) -> None:
    """It still serves, but nothing can be changed. The next call of `apply` starts it again."""
    assert not harness.plane.is_cut_off()
    harness.serve("a")
    assert not harness.plane.is_cut_off()
    harness.cut_off()
    assert harness.plane.is_cut_off()
    assert harness.ask() == "a"
    assert harness.plane.end_if_hung()
    assert not harness.plane.is_cut_off()
    assert harness.plane.apply(harness.config(harness.target("a", admit=True)))
    assert harness.ask() == "a"


def test_another_configuration_loses_nothing(harness: Harness) -> None:
    """Admitted targets and open requests survive a reload with other groups."""
    harness.serve("a")
    harness.begin("a")
    admitted = harness.target("a", admit=True)
    assert harness.plane.apply(harness.config(admitted, groups=("web", "api"))) is False
    assert set(harness.plane.observe().targets) == {GROUP, "shop.api"}
    assert harness.ask() == "a"
    until(lambda: (f := harness.fact("a")) and (f.admitted, f.in_flight) == (True, 1), "one is in flight")
    harness.plane.apply(harness.config(admitted))
    assert set(harness.plane.observe().targets) == {GROUP}
    assert harness.finish("a") is True


def test_drain_reaches_what_was_in_flight_before_a_change(harness: Harness) -> None:
    """Requests from before a reload are counted, and `abort` closes them."""
    harness.serve("a")
    harness.begin("a")
    leaving = harness.target("a", checked=False)
    harness.plane.apply(harness.config(leaving, groups=("web", "api")))
    fact = harness.fact("a")
    assert fact is not None
    assert (fact.admitted, fact.in_flight) == (False, 1)
    harness.plane.abort(GROUP, "a")
    until(lambda: (f := harness.facts()) == {} or f["a"].in_flight == 0, "nothing is in flight")
    assert harness.finish("a") is False


def test_every_call_may_be_repeated(harness: Harness) -> None:
    """A repeated call changes nothing."""
    harness.serve("a")
    wanted = harness.config(harness.target("a", admit=True))
    before = harness.facts()["a"].admitted
    for _ in range(2):
        harness.plane.apply(wanted)
        harness.plane.steer(wanted.groups[GROUP])
        harness.plane.maintain()
        assert harness.plane.check(wanted) is None
    assert (before, harness.facts()["a"].admitted, harness.ask()) == (True, True, "a")
    for _ in range(2):
        harness.plane.stop()
        assert harness.plane.observe().running is False
    assert harness.plane.apply(wanted) is True
    assert harness.ask() == "a"


def test_observe_may_be_called_meanwhile(harness: Harness) -> None:
    """`observe` from another thread succeeds during changes of the plane."""
    harness.serve("a")
    stop, failures = threading.Event(), list[BaseException]()

    def look() -> None:
        while not stop.is_set():
            try:
                assert harness.plane.observe().running
            except BaseException as error:  # noqa: BLE001
                failures.append(error)
                return

    looking = threading.Thread(target=look)
    looking.start()
    admitted = harness.target("a", admit=True)
    for _ in range(5):
        harness.plane.apply(harness.config(admitted, groups=("web", "api")))
        harness.plane.steer(harness.group(admitted, harness.target("b")))
        harness.plane.steer(harness.group(admitted))
        harness.plane.apply(harness.config(admitted))
    stop.set()
    looking.join()
    assert failures == []


def test_standby_ends_with_its_block(harness: Harness) -> None:
    """`standby` can be entered again, and a plane that crashes within it can be restarted."""
    harness.serve("a")
    for _ in range(2):
        with harness.plane.standby():
            harness.crash()
            assert harness.plane.apply(harness.config(harness.target("a", admit=True))) is True
            assert harness.ask() == "a"


def test_a_group_without_targets_holds_requests(harness: Harness) -> None:
    """If it should. The first target that is admitted gets them."""
    assert harness.plane.held(GROUP) == 0
    harness.plane.apply(harness.config())
    assert harness.plane.held(GROUP) == 0
    if harness.zones or any(isinstance(each, EffectiveNetworkListener) for each in harness.config().listeners):
        # They cannot.
        return
    harness.holds = True
    harness.plane.apply(harness.config())
    harness.hold()
    until(lambda: harness.plane.held(GROUP) == 1, "the request is held")
    assert harness.plane.held("shop.other") == 0
    harness.serve("one")
    until(lambda: harness.plane.held(GROUP) == 0, "the target has the request")
    assert harness.ask() == "one"
