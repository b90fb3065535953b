"""Scheduled jobs in pipeline.yaml: what they inherit, how they are stored, and mistakes."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from pipeline.base.errors import ConfigError
from pipeline.config.job import describe_schedule
from pipeline.config.release import ReleaseSpec, service_names
from pipeline.config.service import ServiceHealthCheck
from pipeline.store.services import job_names
from tests.unit.config.loads import Loads

CRON = 'schedule: "0 3 * * *"'
_NO_CRON, _FIELDS = "is not a valid cron expression", "; write five fields: 0 4 * * *"
_ZONE = " is not a time zone of this machine"
_UNFIT = "does not fit a job (a service with schedule): "


def error_of(loads: Loads, text: str) -> str:
    """Return the message of an invalid file, without its name."""
    with pytest.raises(ConfigError) as caught:
        loads(text)
    return caught.value.message.replace("pipeline.yaml:", "")


def file(services: str, deploy: str = "retain: 5") -> str:
    """Return a pipeline.yaml with these services and no balancer."""
    return f"name: shop\ndeploy:\n  {deploy}\n  services: {services}\n"


def test_a_pipeline_of_only_jobs_is_valid(loads: Loads) -> None:
    """It needs no balancer, and none of its services has replicas."""
    deploy = loads(file(f"{{nightly: {{{CRON}, timezone: Europe/Berlin}}}}")).pipeline.deploy
    settings = deploy.all_services()["nightly"]
    assert (settings.schedule, settings.timezone, settings.timeout) == (
        "0 3 * * *",
        "Europe/Berlin",
        timedelta(hours=1),
    )
    assert deploy.all_replicas() == {}


def test_defaults_that_do_not_fit_a_job_are_left_out(loads: Loads) -> None:
    """A job takes the others, such as limits and variables."""
    shared = (
        "replicas: 3\n  memory: 1GiB\n  environment: {A: a}\n  rolling: {max_surge: 10%, max_unavailable: 10%}\n"
        "  on_drain: {signal: SIGUSR1}\n  restart: on-failure\n  health_check: {uptime: 0s}\n  log: {max_size: 1MiB}"
    )
    text = file(f"{{worker: {{rolling: {{max_surge: 1}}}}, nightly: {{{CRON}, environment: {{B: b}}}}}}", shared)
    deploy = loads(text).pipeline.deploy
    settings = deploy.all_services()["nightly"]
    assert (settings.memory, settings.environment) == (2**30, {"A": "a", "B": "b"})
    assert (settings.on_drain, settings.restart, settings.health_check) == (None, "always", ServiceHealthCheck())
    assert deploy.all_replicas() == {"worker": 3}


def test_a_job_is_in_the_release(loads: Loads) -> None:
    """With its image. Releases without a job keep their stored form."""
    text = file(f"{{worker: {{}}, nightly: {{{CRON}, image: 'busybox:1', timeout: 5m}}}}")
    spec = ReleaseSpec.of(loads(text), image_id="i", image_tag="t", sha="s", subject="")
    stored = spec.model_dump_json()
    assert ReleaseSpec.parse(stored) == spec
    assert (spec.replicated, spec.jobs) == (("worker",), ("nightly",))
    assert (service_names(stored), job_names(stored)) == (("worker",), ("nightly",))
    services = json.loads(stored)["services"]
    assert (services["nightly"]["schedule"], services["nightly"]["timeout"]) == ("0 3 * * *", "5m")
    assert not {"schedule", "timezone", "timeout"} & services["worker"].keys()


def test_a_stored_release_with_a_zone_of_another_machine_is_read(loads: Loads) -> None:
    """Only a new pipeline.yaml has to name a zone of this machine."""
    spec = ReleaseSpec.of(
        loads(file(f"{{nightly: {{{CRON}, timezone: UTC}}}}")), image_id="i", image_tag="t", sha="s", subject=""
    )
    stored = spec.model_dump_json().replace('"UTC"', '"Mars/Olympus"')
    assert ReleaseSpec.parse(stored).services["nightly"].timezone == "Mars/Olympus"


@pytest.mark.parametrize(
    ("schedule", "timezone", "words"),
    [
        ("0 3 * * *", "Europe/Berlin", "at 03:00 every day (Europe/Berlin)"),
        ("30 4 1 * *", None, "at 04:30 on the first day of every month (local time)"),
        ("* * * * *", "UTC", "every minute (UTC)"),
    ],
)
def test_words_of_a_schedule(schedule: str, timezone: str | None, words: str) -> None:
    """As in plans and events."""
    assert describe_schedule(schedule, timezone) == words


@pytest.mark.parametrize(
    ("keys", "column", "error"),
    [
        ('schedule: "0 3 * *"', 34, f"schedule: '0 3 * *' {_NO_CRON} (Wrong number of fields){_FIELDS}"),
        ('schedule: "0 0 3 * * *"', 34, f"schedule: '0 0 3 * * *' {_NO_CRON} (Wrong number of fields){_FIELDS}"),
        ('schedule: "0 25 * * *"', 34, f"schedule: '0 25 * * *' {_NO_CRON} (Bad hour){_FIELDS}"),
        ('schedule: "0 0 31 2 *"', 34, f"schedule: '0 0 31 2 *' {_NO_CRON} (Bad day-of-month){_FIELDS}"),
        ('schedule: "@daily"', 34, f"schedule: '@daily' {_NO_CRON} (Wrong number of fields){_FIELDS}"),
        ("schedule: 3", 34, 'schedule: must be text, got 3 (write "3")'),
        ("schedule: [a]", 34, "schedule: must be text, got a list"),
        (f"{CRON}, timezone: Europe/Berln", 57, f"timezone: 'Europe/Berln'{_ZONE}; did you mean Europe/Berlin?"),
        (f"{CRON}, timezone: Xyzzy", 57, f"timezone: 'Xyzzy'{_ZONE}; write an IANA name, such as Europe/Berlin"),
        (f"{CRON}, timezone: ../UTC", 57, f"timezone: '../UTC'{_ZONE}; did you mean UTC?"),
        (f"{CRON}, timezone: ''", 57, f"timezone: ''{_ZONE}; write an IANA name, such as Europe/Berlin"),
        (f"{CRON}, timezone: +01:00", 57, f"timezone: '+01:00'{_ZONE}; write an IANA name, such as Europe/Berlin"),
        (f"{CRON}, timeout: 0s", 56, "timeout: must be at least 1 second, got 0ms"),
        (f"{CRON}, timeout: 31d", 56, "timeout: must be at most 30 days, got 31d"),
        (f"{CRON}, timeout: soon", 56, "timeout: 'soon' is not a valid duration; write 500ms, 30s, 2m or 1h"),
        (f"{CRON}, timout: 5s", 47, "timout: unknown key (did you mean timeout?)"),
        (f"{CRON}, replicas: 2", 57, f"replicas: {_UNFIT}it runs once for each time of its schedule"),
        (f"{CRON}, target_group: web", 61, f"target_group: {_UNFIT}it gets no requests"),
        (f"{CRON}, rolling: {{max_surge: 1}}", 56, f"rolling: {_UNFIT}a deployment replaces no container of it"),
        (
            f"{CRON}, health_check: {{uptime: 1s}}",
            61,
            f"health_check: {_UNFIT}its exit code tells whether it succeeded",
        ),
        (f"{CRON}, after: [worker]", 54, f"after: {_UNFIT}a deployment starts no container of it"),
        (f"{CRON}, on_drain: {{signal: SIGUSR1}}", 57, f"on_drain: {_UNFIT}it gets no requests"),
        (f"{CRON}, restart: always", 56, f"restart: {_UNFIT}a run that fails is not repeated before its next time"),
        (
            f"{CRON}, deploy_timeout: 5s",
            63,
            f"deploy_timeout: {_UNFIT}a deployment starts no container of it; timeout limits its runs",
        ),
        (f"{CRON}, unhealthy_timeout: 5s", 66, f"unhealthy_timeout: {_UNFIT}its exit code tells whether it succeeded"),
        (f"{CRON}, function: app.handler", 57, f"function: {_UNFIT}it gets no requests"),
        (
            f"{CRON}, log: {{max_size: 1MiB}}",
            52,
            f"log: {_UNFIT}its output is kept by `pipeline job logs`, up to 8 MiB for each run",
        ),
        (f"{CRON}, logging: {{driver: journald}}", 56, f"logging: {_UNFIT}its output is kept by `pipeline job logs`"),
        (f"{CRON}, retain: 3", 55, "retain: belongs in deploy, because it is the same for all services of a release"),
        ("timezone: UTC", 34, "timezone: requires a schedule, because only a job has it"),
        ("timeout: 5s", 33, "timeout: requires a schedule, because only a job has it"),
    ],
)
def test_mistakes_in_a_job(keys: str, column: int, error: str, loads: Loads) -> None:
    """Each is reported with its place and what to write instead."""
    found = error_of(loads, file(f"{{nightly: {{{keys}}}, worker: {{}}}}"))
    assert found.splitlines()[0] == f"4:{column}: deploy.services.nightly.{error}"


@pytest.mark.parametrize(
    ("deploy", "services", "error"),
    [
        (
            CRON,
            "{worker: {}}",
            '3:13: deploy.schedule: belongs in one of services, such as services: {nightly: {schedule: "0 3 * * *"}}',
        ),
        (
            "timezone: UTC",
            "{worker: {}}",
            '3:13: deploy.timezone: belongs in one of services, such as services: {nightly: {schedule: "0 3 * * *"}}',
        ),
        (
            "retain: 5",
            f"{{nightly: {{{CRON}}}, worker: {{after: [nightly]}}}}",
            "4:65: deploy.services.worker.after[0]: nightly is a job, so no deployment waits for it; release_command "
            "runs once before a release",
        ),
    ],
)
def test_mistakes_around_jobs(deploy: str, services: str, error: str, loads: Loads) -> None:
    """A job is one of several services, and no service waits for it."""
    assert error_of(loads, file(services, deploy)) == error


def test_a_schedule_without_services(loads: Loads) -> None:
    """The only service of a pipeline is no job: `services` names it."""
    assert error_of(loads, f"name: shop\ndeploy: {{{CRON}}}\n").startswith(
        "2:20: deploy.schedule: belongs in one of services, such as services: "
    )


def test_a_job_has_the_labels_of_its_own_section_only(loads: Loads) -> None:
    """Labels in `deploy` are for what gets requests, such as those of a reverse proxy."""
    services = f"{{worker: {{}}, nightly: {{{CRON}}}, own: {{{CRON}, labels: {{b: c}}}}}}"
    deploy = loads(file(services, "labels: {traefik.enable: 'true'}")).pipeline.deploy
    found = {name: each.labels for name, each in deploy.all_services().items()}
    assert found == {"worker": {"traefik.enable": "true"}, "nightly": {}, "own": {"b": "c"}}
