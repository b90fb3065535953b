"""Variables of a run in a release: which runs make another one, and which replace containers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.api import Image, Revision, StageContext
from pipeline.base.clock import SystemClock
from pipeline.base.errors import ConfigError
from pipeline.config.load import load
from pipeline.config.release import ReleaseSpec
from pipeline.config.secrets import Secrets
from pipeline.store.records import Release, RunOptions
from stages.deploy import service_images
from stages.deploy.stage import DockerDeploy
from tests.support.started_runs import begin_run
from tests.unit.deploy.deployments import PIPELINE, Service, deploy, with_replicas


def run(context: StageContext, commit: str = "a", *, pull: bool = False) -> Release:
    """Deploy a commit in a run of its own."""
    number = begin_run(context.store, "shop").number
    return deploy(replace(context, run=number, options=RunOptions(pull=pull)), commit)


def environment(release: Release) -> dict[str, str]:
    return ReleaseSpec.parse(release.spec).services["web"].environment


def template(release: Release) -> str:
    """Return the hash by which containers are replaced."""
    return ReleaseSpec.parse(release.spec).service("web").template(Secrets())


def with_environment(context: StageContext, text: str) -> StageContext:
    return with_replicas(context, 1, f"environment: {text}, ")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("{A: '${run}'}", [{"A": "1"}, {"A": "2"}]),
        ("{A: 'r${release}'}", [{"A": "r1"}, {"A": "r1"}]),
        ("{A: '${release}', B: '${run}'}", [{"A": "1", "B": "1"}, {"A": "2", "B": "2"}]),
        ("{A: '${short_commit} ${branch}'}", [{"A": "aaaaaaa main"}, {"A": "aaaaaaa main"}]),
        ("{A: '${commit}'}", [{"A": "a" * 40}, {"A": "a" * 40}]),
        ("{A: plain}", [{"A": "plain"}, {"A": "plain"}]),
    ],
)
def test_the_number_of_the_run_makes_another_release(
    text: str, values: list[dict[str, str]], context: StageContext, service: Service
) -> None:
    """Whose containers are others. Without it, another run of the commit changes nothing."""
    context = with_environment(context, text)
    first, second = run(context), run(context)
    assert [environment(first), environment(second)] == values
    is_other = values[0] != values[1]
    assert (second.number, template(first) != template(second)) == (2 if is_other else 1, is_other)


def test_another_commit_is_another_release(context: StageContext, service: Service) -> None:
    """With its id and the number of the release."""
    context = with_environment(context, "{A: '${short_commit}', B: '${release}'}")
    assert environment(run(context, "a")) == {"A": "aaaaaaa", "B": "1"}
    assert environment(run(context, "b")) == {"A": "bbbbbbb", "B": "2"}


def test_the_values_of_a_run_are_no_change_of_the_configuration(context: StageContext, service: Service) -> None:
    """So a commit that changes nothing under source.paths is still skipped. A changed text is a change."""
    context = with_environment(context, "{A: '${run} ${commit} ${release}'}")
    run(context)
    assert DockerDeploy().is_current(context)
    assert not DockerDeploy().is_current(with_environment(context, "{A: '${run}'}"))
    assert not DockerDeploy().is_current(with_environment(context, "{B: '${run}'}"))


def test_a_rollback_keeps_the_values_of_its_release(context: StageContext, service: Service) -> None:
    """They are those of its own run."""
    context = with_environment(context, "{A: '${run} ${short_commit}'}")
    for commit in ("a", "b"):
        service.engine.images.add(f"sha256:{commit}")
    first = run(context, "a")
    run(context, "b")
    rolled = replace(context, run=begin_run(context.store, "shop").number)
    DockerDeploy().rollback(rolled, first)
    active = context.store.releases.active("shop")
    assert active is not None
    assert (active.number, environment(active)) == (1, {"A": "1 aaaaaaa"})


def test_a_plan_works_without_a_run(context: StageContext) -> None:
    """What is not known stays a variable."""
    found = ReleaseSpec.of(
        with_environment(context, "{A: '${run} ${branch}'}").configuration,
        image_id="",
        image_tag="",
        sha="a" * 40,
        subject="",
    )
    assert found.services["web"].environment == {"A": "${run} ${branch}"}


GIVEN = "registry.example.com/shop:stable"


@pytest.fixture
def given(context: StageContext, service: Service, monkeypatch: pytest.MonkeyPatch) -> StageContext:
    """A pipeline whose image was built elsewhere."""
    monkeypatch.setattr(service_images, "long_call", lambda engine, work, *_: work(engine.images))
    return with_replicas(context, 1, f"image: '{GIVEN}', ")


def take(context: StageContext, service: Service, *, pull: bool = False) -> Release:
    """Deploy the image as Build has found it."""
    number = begin_run(context.store, "shop").number
    revision = Revision("a" * 40, "main", "Ann", "Say", SystemClock().now().wall, "/srv/a.git")
    image = Image(service.engine.images.known(GIVEN), GIVEN)
    return DockerDeploy().deploy(replace(context, run=number, options=RunOptions(pull=pull)), revision, image)


def test_a_release_keeps_the_image_that_a_tag_had(given: StageContext, service: Service) -> None:
    """A tag that moves makes another release when it is pulled, and a rollback returns to the former image."""
    images = service.engine.images
    old = images.add(GIVEN)
    first = take(given, service)
    assert ReleaseSpec.parse(first.spec).images["web"].id == first.image_id == old
    assert DockerDeploy().is_current(given)
    assert take(given, service).number == 1
    images.registry.add(GIVEN)
    images.moved[GIVEN] = b"new"
    images.pull(GIVEN)
    second = take(given, service)
    assert (second.number, second.image_id) == (2, images.id(GIVEN))
    DockerDeploy().rollback(replace(given, run=begin_run(given.store, "shop").number), first)
    active = given.store.releases.active("shop")
    assert active is not None
    assert (active.number, ReleaseSpec.parse(active.spec).service("web").image_id) == (1, old)


def test_an_image_that_is_gone_is_named(given: StageContext, service: Service) -> None:
    """A rollback to it changes nothing."""
    images = service.engine.images
    images.add(GIVEN)
    first = take(given, service)
    images.moved[GIVEN] = b"new"
    images.registry.add(GIVEN)
    images.pull(GIVEN)
    take(given, service)
    assert images.remove(first.image_id)
    taken = list(service.taken)
    with pytest.raises(ConfigError, match=f"the image {GIVEN} of release 1 is gone"):
        DockerDeploy().rollback(replace(given, run=begin_run(given.store, "shop").number), first)
    assert service.taken == taken


def test_images_of_services_are_pulled_again_on_request(
    context: StageContext, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise an image that exists is used as it is."""
    monkeypatch.setattr(service_images, "long_call", lambda engine, work, *_: work(engine.images))
    images = service.engine.images
    images.add("redis:7")
    images.registry.add("redis:7")
    images.moved["redis:7"] = b"new"
    file = context.home.root / "pipeline.yaml"
    text = (PIPELINE % 1).replace(
        "deploy: {target_group: web, replicas: 1}",
        "deploy: {services: {web: {target_group: web}, cache: {image: 'redis:7'}}}",
    )
    file.write_text(text)
    several = replace(context, configuration=load(file))
    first, again, pulled = run(several), run(several), run(several, pull=True)
    assert (first.number, again.number, pulled.number) == (1, 1, 2)
    ids = [ReleaseSpec.parse(release.spec).images["cache"].id for release in (first, pulled)]
    assert ids[0] != ids[1] == images.id("redis:7")
