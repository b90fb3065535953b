"""HAProxy's view of a target in ELB's words: a state, a reason code and a description."""

from __future__ import annotations

from datetime import timedelta

from pipeline.balancer.haproxy.control_socket import ServerState
from pipeline.balancer.model import TargetHealth, TargetState
from pipeline.balancer.registry import Phase, Registration

_UNUSED = "Target group is not configured to receive traffic from the load balancer"


def evaluate_health(
    registration: Registration, server: ServerState | None, *, used: bool, checked: bool
) -> TargetHealth:
    """The health of a registered target.

    `used`: some listener forwards to its group. `checked`: its group still asks what it was registered to
    answer; otherwise it counts as healthy, as it was when the question changed.
    """
    state, reason, description = _judge(registration.phase, server, used=used, checked=checked)
    return TargetHealth(
        target=registration.target,
        state=state,
        reason=reason,
        description=description,
        in_flight=server.in_flight if server else 0,
        state_age=timedelta(seconds=server.age if server else 0),
        since=registration.since,
    )


def _judge(phase: Phase, server: ServerState | None, *, used: bool, checked: bool) -> tuple[TargetState, str, str]:
    if phase is Phase.DRAINING:
        return TargetState.DRAINING, "Target.DeregistrationInProgress", "Target deregistration is in progress"
    if not used:
        return TargetState.UNUSED, "Target.NotInUse", _UNUSED
    if server is None:
        return TargetState.INITIAL, "Elb.RegistrationInProgress", "Target registration is in progress"
    if phase is Phase.INITIAL:
        return TargetState.INITIAL, *_initial(server)
    if not checked and not server.status.startswith("DOWN"):
        return (
            TargetState.HEALTHY,
            "",
            "Not checked: the group's health check changed after it was registered",
        )
    if server.status.startswith("UP"):
        return TargetState.HEALTHY, "", ""
    return TargetState.UNHEALTHY, *_failure(server)


def _initial(server: ServerState) -> tuple[str, str]:
    """An initial target's description tells why it is not in service yet, where a check has failed."""
    if server.check_status in ("", "INI") or server.check_status.startswith(("L4OK", "L6OK", "L7OK")):
        return "Elb.InitialHealthChecking", "Initial health checks in progress"
    return "Elb.InitialHealthChecking", _failure(server)[1]


def _failure(server: ServerState) -> tuple[str, str]:
    if server.check_status == "L7STS":
        return "Target.ResponseCodeMismatch", f"Health checks failed with these codes: [{server.check_code}]"
    if server.check_status.endswith("TOUT"):
        return "Target.Timeout", "Request timed out"
    text = {"L4CON": "Connection refused", "SOCKERR": "Connection closed without an answer"}
    # A check of a port has one step, which goes without saying.
    detail = server.check_text.partition(" at step ")[0] or text.get(server.check_status, server.check_status)
    return "Target.FailedHealthChecks", f"Health checks failed: {detail}"
