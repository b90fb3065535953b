"""What each service of a Compose file becomes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pipeline.base.errors import ConfigError
from pipeline.compose.project import Project
from pipeline.compose.report import Report
from pipeline.compose.service import COMPLETED, BuildKey, ComposeService

_MIGRATION = re.compile(
    r"migrat|db:|upgrade|initdb|init_db|init-db|prisma|alembic|flyway|liquibase|createdb|seed|setup", re.IGNORECASE
)
_TEST_NAME = re.compile(r"(?:^|[_-])(?:e2e|tests?|lint|cypress|playwright)(?:$|[_-])", re.IGNORECASE)
_MAX_SERVICES = 32


@dataclass
class Roles:
    """The services of one pipeline. `build` is its image, None if it builds none."""

    build: BuildKey | None = None
    services: list[ComposeService] = field(default_factory=list)
    accessories: list[ComposeService] = field(default_factory=list)
    release: ComposeService | None = None
    proxies: list[ComposeService] = field(default_factory=list)

    @property
    def image(self) -> str | None:
        """The image that is deployed if none is built: that of the first service with ports, else of the first."""
        if self.build or not self.services:
            return None
        return next((each for each in self.services if each.ports), self.services[0]).image


def split_roles(project: Project, chosen: str | None, report: Report) -> list[Roles]:
    """Return the pipelines of a project: one for each image that is built. The first also has everything else.

    `chosen` is the service whose image is built by the first. Raises `ConfigError` if it builds none.
    """
    services = list(project.services.values())
    if not services:
        report.check()
        raise ConfigError("every service belongs to a profile", hint="include some: --profile NAME, or '*' for all")
    _share_images(services)
    first = Roles(proxies=_proxies(services))
    rest = [each for each in services if each not in first.proxies]
    jobs = [each for each in rest if _is_one_shot(each, services)]
    built = _by_build([each for each in rest if each.build and each not in jobs])
    keys = _ordered(built, chosen, project)
    first.build = keys[0] if keys else None
    first.services = list(built[keys[0]]) if keys else []
    for each in rest:
        if not each.build and each not in jobs:
            others = [other for other in rest if other is not each and other.repository == each.repository]
            is_kept = each.is_database or (each.mounts.is_stateful and not others and (bool(built) or not each.ports))
            (first.accessories if is_kept else first.services).append(each)
    for each in first.services[_MAX_SERVICES:]:
        report.left_out(each.place, f"services.{each.name}", f"a pipeline has at most {_MAX_SERVICES} services")
    del first.services[_MAX_SERVICES:]
    pipelines = [first, *(Roles(build=key, services=built[key]) for key in keys[1:])]
    for job in jobs:
        _place_job(job, pipelines, report)
    return pipelines


def _share_images(services: list[ComposeService]) -> None:
    """Give a service without a build that of the service whose image it names."""
    built = {each.image: each for each in services if each.build and each.image}
    for each in services:
        if each.build is None and each.image in built:
            each.build, each.builder = built[each.image].build, built[each.image].builder


def _proxies(services: list[ComposeService]) -> list[ComposeService]:
    """Return the reverse proxies, if there is anything behind them."""
    found = [each for each in services if each.is_proxy]
    behind = [each for each in services if each not in found and not each.is_database]
    return found if behind else []


def _is_one_shot(service: ComposeService, services: list[ComposeService]) -> bool:
    """Return whether a service runs once and exits."""
    if any(each.depends_on.get(service.name) == COMPLETED for each in services):
        return True
    text = " ".join(map(str, service.view.words("command") or ()))
    is_job = bool(_MIGRATION.search(service.name) and not service.ports and not service.exposed)
    is_migration = is_job and (service.restart in ("no", "on-failure") or bool(_MIGRATION.search(text)))
    return (is_migration or bool(_TEST_NAME.search(service.name))) and not service.ports and not service.is_database


def _by_build(services: list[ComposeService]) -> dict[BuildKey, list[ComposeService]]:
    found: dict[BuildKey, list[ComposeService]] = {}
    for each in services:
        if each.build:
            found.setdefault(each.build, []).append(each)
    return found


def _ordered(built: dict[BuildKey, list[ComposeService]], chosen: str | None, project: Project) -> list[BuildKey]:
    """Return the builds: first the one of `chosen`, else the first that publishes a port."""
    if chosen is not None:
        service = project.services.get(chosen)
        if service is None or service.build not in built:
            names = ", ".join(each.name for group in built.values() for each in group)
            raise ConfigError(
                f"--service {chosen}: no such service is built", hint=f"built: {names}" if names else "none is built"
            )
        return sorted(built, key=lambda key: key != service.build)
    return sorted(built, key=lambda key: not any(each.ports for each in built[key]))


def _place_job(job: ComposeService, pipelines: list[Roles], report: Report) -> None:
    """Make a service that runs once the release command of the pipeline with its image, if that has none."""
    path = f"services.{job.name}"
    if _TEST_NAME.search(job.name):
        report.left_out(job.place, path, "it runs tests; write its command into build.test")
        return
    of_image = next((each for each in pipelines if job.build and each.build == job.build), None)
    if job.build is None and job.image == pipelines[0].image:
        of_image = pipelines[0]
    same_context = [each for each in pipelines if job.build and each.build and each.build.context == job.build.context]
    if of_image is None and len(same_context) == 1:
        report.note(
            f"{job.place}: {path} runs in the image of {same_context[0].services[0].name}, which has the same context"
        )
        of_image = same_context[0]
    if of_image is None:
        where = "an image of its own" if job.build else f"the image {job.image}"
        report.left_out(
            job.place,
            path,
            f"it runs once, in {where}: run it by hand, or from deploy.release_command of the built image",
        )
    elif of_image.release is not None:
        report.left_out(
            job.place,
            path,
            f"a release has one command, and {of_image.release.name} is it; join both with sh -c",
        )
    elif not (job.view.words("command") or job.view.words("entrypoint")):
        report.left_out(job.place, path, "it runs the command of its image once: write it into deploy.release_command")
    else:
        of_image.release = job
