"""The hooks in the plan of a deployment."""

from __future__ import annotations

from pipeline.config.hooks import LifecycleEvent
from pipeline.config.service import ServiceSettings
from pipeline.config.service_spec import ServiceSpec
from stages.deploy.hook_plan import planned_hooks
from stages.deploy.shift_plan import shift_steps

HOOKS = {
    "BeforeInstall": [{"host_command": ["./notify.sh", "start"]}],
    "AfterInstall": [{"command": ["check"]}, {"pause": True}],
    "AfterAllowTraffic": [
        {"http": "http://h/${secret:KEY}"},
        {"pause": True, "timeout": "1h", "on_timeout": "continue"},
    ],
}


def service(strategy: object) -> ServiceSpec:
    settings = {"target_group": "web", "hooks": HOOKS, "strategy": strategy}
    return ServiceSpec("web", "i", ServiceSettings.model_validate(settings), None)


def test_each_hook_is_a_step() -> None:
    """It says what runs, without the values of secrets, and how long a pause waits."""
    assert planned_hooks(service("rolling"), *LifecycleEvent) == [
        "BeforeInstall: run ./notify.sh start",
        "AfterInstall: run check",
        "AfterInstall: wait up to 1d for `pipeline promote`, then roll back",
        "AfterAllowTraffic: call GET http://h/${secret:KEY}",
        "AfterAllowTraffic: wait up to 1h for `pipeline promote`, then continue",
    ]


def test_hooks_are_between_the_steps_of_a_shifting_deployment() -> None:
    """Where they run: before the installation, before the first share, and after the last one."""
    made = service("canary")
    assert made.settings.strategy is not None
    steps, _ = shift_steps(made, made.settings.strategy, 2, 2)
    assert [step.partition(" ")[0] for step in steps] == [
        *("BeforeInstall:", "declare", "start", "AfterInstall:", "AfterInstall:", "send", "send"),
        *("AfterAllowTraffic:", "AfterAllowTraffic:", "drain", "move"),
    ]
