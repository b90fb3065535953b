"""The catalogue of events: every kind, when it is emitted, and its fields.

Machines read kinds and fields; messages are for people and may change. `by` is the user whose action an event reports.
An event that no user has caused does not have it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

_TARGET = ("target", "service", "release", "healthy")
_RUN = ("state", "reason", "by")
_SHIFT = ("service", "release", "step", "share")
_BAKED = (*_SHIFT, "bake_time")
_JOB = ("job", "job_run")
_SCALING = (
    *("service", "before", "replicas", "reason", "min", "max", "serving", "starting"),
    *("requests", "connections", "cpu", "response_time"),
)
_ENDPOINT = ("endpoint", "service", "by")
_ACCESSORY = ("accessory", "container", "image")


class EventKind(StrEnum):
    """A kind of event. `description` says when it is emitted, `fields` names the fields it may carry."""

    description: str
    fields: frozenset[str]

    def __new__(cls, value: str, description: str = "", *fields: str) -> Self:
        kind = str.__new__(cls, value)
        kind._value_ = value
        kind.description = description
        kind.fields = frozenset(fields)
        return kind

    RUN_QUEUED = "run.queued", "A run was queued or requeued.", *_RUN
    RUN_SKIPPED = "run.skipped", "A run was skipped: nothing to do, or its commit says so.", *_RUN
    RUN_SUPERSEDED = "run.superseded", "A queued run was replaced by a newer one.", *_RUN
    RUN_CANCELLED = "run.cancelled", "A queued run was cancelled.", *_RUN
    RUN_STARTED = "run.started", "A run began. `by` is the user who requested it.", "trigger", "by"
    RUN_WAITING = (
        "run.waiting",
        "A run waits before a stage, for an approval or as `waits_for` says.",
        "stage",
        "waits_for",
    )
    RUN_APPROVED = "run.approved", "A run was approved.", "by", "comment"
    RUN_REJECTED = "run.rejected", "A run was rejected. It fails.", "by", "comment"
    RUN_INTERRUPTED = "run.interrupted", "A run lost its process."
    RUN_FINISHED = (
        "run.finished",
        "A run ended. `code` is the exit code of a failure, `by` the user who cancelled or aborted it.",
        *(*_RUN, "code", "hint", "tail"),
    )

    STAGE_STARTED = "stage.started", "A stage began.", "stage"
    STAGE_FINISHED = "stage.finished", "A stage succeeded.", "stage", "seconds"
    STAGE_FAILED = "stage.failed", "A stage failed or was cancelled.", "stage"

    SOURCE_CONFIGURATION = "source.configuration", "The commit's own pipeline.yaml is used."
    SOURCE_DIRTY = "source.dirty", "The checkout has changes that are not committed.", "files"
    SOURCE_WARNING = "source.warning", "The repository's mirror had to be repaired, or is read another way."

    BUILD_STARTED = "build.started", "An image is being built."
    BUILD_FINISHED = "build.finished", "An image was built."
    BUILD_CACHED = "build.cached", "An image that was built before is used."
    BUILD_RETRY = "build.retry", "A build is retried.", "attempt", "cause", "reason"
    BUILD_WARNING = "build.warning", "A build or its tests caused a warning."
    IMAGE_PULLING = "image.pulling", "A base image, or the image of a release, a service or a test service, is pulled."
    IMAGE_SENDING = "image.sending", "An image is sent to a host, in bytes.", "host", "image", "sent", "size"
    IMAGE_SENT = "image.sent", "An image was sent to the hosts that lacked it.", "image", "sent", "hosts"
    IMAGE_FALLBACK = "image.fallback", "An image goes to hosts by a slower way.", "image", "reason"
    IMAGE_PUSHING = "image.pushing", "The tested image is pushed to a registry."
    IMAGE_PUSHED = "image.pushed", "The tested image was pushed to a registry.", "image", "digest"
    SERVICE_READY = "service.ready", "A service beside the tests is ready.", "service", "seconds"
    TEST_STARTED = "test.started", "The tests began."
    TEST_FINISHED = "test.finished", "The tests passed."
    TEST_REPORTED = (
        "test.reported",
        "The reports of the tests were read. `names` are the failed tests, one a line, at most 100.",
        *("tests", "failed", "skipped", "names"),
    )
    TEST_SKIPPED = "test.skipped", "There are no tests; the image is deployed untested."
    TEST_RETRY = "test.retry", "The tests are retried.", "attempt", "cause", "reason"
    ARTIFACT_KEPT = "artifact.kept", "A path of the test container was kept.", "path", "files", "size"
    ARTIFACT_WARNING = "artifact.warning", "A path of the test container was not kept, or only in part.", "path"

    DEPLOYMENT_STARTED = "deployment.started", "A deployment began."
    DEPLOYMENT_WARNING = (
        "deployment.warning",
        "A deployment found or failed something that does not stop it.",
    )
    DEPLOYMENT_FAILED = (
        "deployment.failed",
        "A deployment failed; the rollback follows. `by` is the user who aborted it, if one did.",
        "by",
    )
    ALARM_STARTED = (
        "alarm.started",
        "The new release of a service receives traffic, and its conditions in `rollback_on` count from now on.",
        *("service", "release", "since"),
    )
    ALARM_EVALUATED = (
        "alarm.evaluated",
        "A condition of `rollback_on` or of `mirror` changed its `state`, or has new numbers. `condition` is its place "
        "in the list, `needed` about the number of requests until it can decide.",
        *("service", "release", "condition", "state", "was", "needed"),
    )
    ROLLBACK_STARTED = "rollback.started", "A rollback to the previous release began."
    DEPLOYMENT_HELD = (
        "deployment.held",
        "A process died in a deployment that shifts traffic. It stays as it is until a run continues or undoes it.",
    )
    DEPLOYMENT_RESUMED = "deployment.resumed", "A run continues a deployment that was held."
    ROLLOUT_STARTED = (
        "rollout.started",
        "The containers of a service are about to be replaced, added or removed. At least `floor` of its targets stay "
        "healthy. `healthy` are so now. `targets` names these, as TARGET=RELEASE with spaces between.",
        *("service", "release", "replicas", "floor", "healthy", "targets"),
    )
    SHIFT_INSTALLING = "shift.installing", "The new release starts beside the previous one, without requests.", *_SHIFT
    SHIFT_INSTALLED = "shift.installed", "All new replicas are healthy in the alternate target group.", *_SHIFT
    SHIFT_MIRRORING = "shift.mirroring", "Requests are copied to the new release, before the first step.", *_BAKED
    SHIFT_MIRRORED = "shift.mirrored", "No more requests are copied. The message compares the responses.", *_SHIFT
    SHIFT_STEP = "shift.step", "The new release gets another share of the requests, in percent.", *_BAKED
    SHIFT_RETIRING = "shift.retiring", "The last step is over; the previous replicas are being removed.", *_SHIFT
    SHIFT_HOMING = "shift.homing", "The new replicas move from the alternate target group to the home group.", *_SHIFT
    SHIFT_REMOVED = "shift.removed", "The alternate target group was removed.", *_SHIFT
    SHIFT_FINISHED = "shift.finished", "A service has moved to the new release.", *_SHIFT
    SHIFT_RETURNED = "shift.returned", "The previous release gets all requests again, for a rollback.", *_SHIFT
    SHIFT_RESUMED = "shift.resumed", "A service continues in the step in which a process died.", *_SHIFT
    BAKE_STARTED = "bake.started", "All replicas are replaced; the bake time of a rolling deployment began.", *_BAKED
    BAKE_FINISHED = "bake.finished", "The bake time of a rolling deployment is over.", *_SHIFT
    RELEASE_COMMAND_STARTED = "release_command.started", "The release command began."
    RELEASE_COMMAND_FINISHED = "release_command.finished", "The release command succeeded.", "seconds"
    HOOK_STARTED = "hook.started", "A hook of a deployment began.", "service", "hook"
    HOOK_FINISHED = "hook.finished", "A hook of a deployment succeeded.", "service", "hook", "seconds"
    DEPLOYMENT_WAITING = "deployment.waiting", "A deployment waits for `pipeline promote`.", "service", "hook"
    DEPLOYMENT_CONTINUED = (
        "deployment.continued",
        "A deployment that waited continues. `by` is the user who promoted it, if one did.",
        "service",
        "hook",
        "by",
    )
    DOWN_WARNING = (
        "down.warning",
        "`pipeline down` leaves something behind, or takes requests from the rules of others.",
    )
    RETENTION_WARNING = "retention.warning", "An old image could not be removed."

    JOB_STARTED = "job.started", "A run of a scheduled job began.", *_JOB, "release", "scheduled_for", "by"
    JOB_SUCCEEDED = "job.succeeded", "A run of a job exited with 0.", *_JOB, "seconds"
    JOB_FAILED = (
        "job.failed",
        "A run of a job failed, ran too long, or is lost. `state` says which of these.",
        *_JOB,
        "state",
        "exit_code",
        "reason",
    )
    JOB_CANCELLED = "job.cancelled", "A run of a job was cancelled.", *_JOB, "exit_code", "by"
    JOB_SKIPPED = (
        "job.skipped",
        "A job was not run at a time of its schedule, or at several, from `scheduled_for` to `until`.",
        "job",
        "scheduled_for",
        "until",
        "count",
        "reason",
    )

    HOST_LOST = "host.lost", "A host has not answered for ten seconds. Its replicas are replaced.", "host", "reason"
    HOST_RETURNED = "host.returned", "A lost host answers again.", "host"
    HOST_DRAINED = "host.drained", "A user lets a host take no replicas.", "host", "by"
    HOST_RESUMED = "host.resumed", "A user lets a host take replicas again.", "host", "by"
    HOST_FORGOTTEN = "host.forgotten", "A host that has left is empty, or a user gave it up.", "host", "by"

    CONTAINER_STARTING = "container.starting", "A container is being started.", *_TARGET
    CONTAINER_STARTED = "container.started", "A container started.", *_TARGET
    CONTAINER_STOPPING = "container.stopping", "A drained container is being stopped.", *_TARGET
    CONTAINER_STOPPED = "container.stopped", "A container stopped.", *_TARGET
    CONTAINER_REMOVED = "container.removed", "A container was removed.", *_TARGET
    TARGET_REGISTERED = "target.registered", "A target was registered; it gets no traffic yet.", *_TARGET
    TARGET_HEALTHY = "target.healthy", "A target passed its health check and receives traffic.", *_TARGET
    TARGET_NOT_HEALTHY = "target.not_healthy", "A new target still fails its health check.", *_TARGET
    TARGET_UNHEALTHY = "target.unhealthy", "A target that was healthy failed its health check.", *_TARGET
    TARGET_DRAINING = "target.draining", "A target was deregistered and finishes its requests.", *_TARGET
    TARGET_REQUESTS_ABORTED = (
        "target.requests_aborted",
        "The deregistration delay expired with requests in flight.",
        *_TARGET,
    )
    TARGET_FAILED = (
        "target.failed",
        "A new container exited or did not become healthy. The circuit breaker counts it, and it is replaced.",
        *_TARGET,
    )
    TARGET_EXITED = "target.exited", "A target's container exited or was removed. Docker may restart it.", "target"
    TARGET_RESTARTED = "target.restarted", "Docker restarted a target's container.", "target"

    ACCESSORY_STARTING = "accessory.starting", "An accessory is being started.", *_ACCESSORY, "by"
    ACCESSORY_STARTED = "accessory.started", "An accessory was started and is healthy.", *_ACCESSORY
    ACCESSORY_FAILED = "accessory.failed", "An accessory could not be started or upgraded.", *_ACCESSORY, "reason"
    ACCESSORY_STOPPING = "accessory.stopping", "An accessory is being stopped.", *_ACCESSORY, "by"
    ACCESSORY_REMOVED = "accessory.removed", "A container of an accessory was removed.", *_ACCESSORY
    ACCESSORY_RESTARTED = (
        "accessory.restarted",
        "The container of an accessory was started again. It was stopped, had exited or was gone.",
        *_ACCESSORY,
        "by",
    )
    ACCESSORY_WARNING = "accessory.warning", "A start or an upgrade found something that does not stop it.", *_ACCESSORY
    ACCESSORY_DRIFT = (
        "accessory.drift",
        "An accessory differs from pipeline.yaml. A deployment does not replace it.",
        *_ACCESSORY,
        "keys",
    )
    BACKUP_STARTED = "backup.started", "A backup of an accessory began.", "accessory", "backup", "by"
    BACKUP_FINISHED = "backup.finished", "A backup was written.", "accessory", "backup", "size", "seconds"
    BACKUP_FAILED = "backup.failed", "A backup failed. It left nothing.", "accessory", "reason"
    BACKUP_DELETED = "backup.deleted", "A backup that exceeds `keep` was deleted.", "accessory", "backup"
    RESTORE_STARTED = "restore.started", "The restore of a backup began.", "accessory", "backup", "by"
    RESTORE_FINISHED = "restore.finished", "A backup was restored.", "accessory", "backup", "seconds"
    RESTORE_FAILED = "restore.failed", "The restore of a backup failed.", "accessory", "backup", "reason"

    RECOVERY_STARTED = "recovery.started", "A crash left a deployment open; the last good release is restored."
    RECOVERY_FINISHED = "recovery.finished", "The recovery succeeded."
    RECOVERY_FAILED = "recovery.failed", "The last good release does not become healthy."

    RECONCILE_DRIFT = "reconcile.drift", "The daemon found a difference from the active release."
    RECONCILE_REPAIRED = "reconcile.repaired", "Every difference was repaired."
    RECONCILE_PREEMPTED = (
        "reconcile.preempted",
        "A repair was stopped for a deployment, or for another number of replicas.",
    )
    RECONCILE_FAILED = "reconcile.failed", "The daemon could not check or repair the pipeline."

    SCALING_OUT = "scaling.out", "Auto scaling wants more replicas.", *_SCALING
    SCALING_IN = "scaling.in", "Auto scaling wants fewer replicas. They are drained.", *_SCALING
    SCALING_SET = (
        "scaling.set",
        "A user changes the number of replicas of a scaled service.",
        *("service", "replicas", "by"),
    )
    SCALING_SUSPENDED = "scaling.suspended", "A user suspended auto scaling.", "service", "by"
    SCALING_RESUMED = "scaling.resumed", "A user resumed auto scaling.", "service", "by"
    SCALING_BLIND = (
        "scaling.blind",
        "Metrics of a scaled service cannot be read. Only its bounds are kept meanwhile.",
        "service",
        "reason",
    )

    SERVE_STARTED = "serve.started", "The daemon manages this pipeline now."
    SERVE_FAILED = "serve.failed", "A loop of the daemon failed and is restarted."
    SUPERVISOR_BLOCKED = "supervisor.blocked", "The daemon cannot manage the pipeline yet."
    QUEUE_BLOCKED = "queue.blocked", "No queued run can start."
    CONFIG_RELOADED = "config.reloaded", "pipeline.yaml was reloaded."
    CONFIG_REJECTED = "config.rejected", "A changed pipeline.yaml is invalid; the previous one stays."
    BALANCER_RESTARTED = "balancer.restarted", "HAProxy was not running or did not respond, and was restarted."
    BALANCER_RESUMED = "balancer.resumed", "HAProxy was stopped by a signal and was continued."
    BALANCER_FAILED = "balancer.failed", "HAProxy cannot be run."
    ENDPOINT_ACCEPTED = (
        "endpoint.accepted",
        "A user accepted the connection of an endpoint. Both pipelines have the event.",
        *_ENDPOINT,
    )
    ENDPOINT_REJECTED = (
        "endpoint.rejected",
        "A user rejected the connection of an endpoint. It carries no packets. Both pipelines have the event.",
        *_ENDPOINT,
    )
    ENDPOINT_ATTACHED = "endpoint.attached", "A network is attached to its endpoint again."
    ENDPOINT_DETACHED = "endpoint.detached", "A network is not attached to its endpoint."
    APPLIANCE_UNUSABLE = (
        "appliance.unusable",
        "An appliance gets no flows, healthy or not, because this machine cannot send packets to its address.",
    )
    APPLIANCE_USABLE = (
        "appliance.usable",
        "An appliance that could not be used is removed, or this machine can send packets to it again.",
    )
    CERTIFICATE_ISSUED = "certificate.issued", "An authority issued or renewed a certificate.", "domains", "expires"
    CERTIFICATE_FAILED = (
        "certificate.failed",
        "A certificate could not be issued or renewed. The previous one stays.",
        "domains",
        "expires",
        "reason",
        "retry_at",
    )
    CERTIFICATE_EXPIRING = (
        "certificate.expiring",
        "A certificate expires soon, and its renewal is overdue.",
        "domains",
        "expires",
    )

    TRIGGER_FAILED = "trigger.failed", "The repository could not be read."
    TRIGGER_SCHEDULE = "trigger.schedule", "A schedule is due."
    TRIGGER_POLLING = "trigger.polling", "Watching files is not possible; they are polled."
    TRIGGER_WATCH_LOST = (
        "trigger.watch_lost",
        "A watched folder of the repository was removed or replaced. The repository is watched again.",
    )
    TRIGGER_NO_REFS = "trigger.no_refs", "The repository has none of the wanted refs."
    TRIGGER_REFS_SKIPPED = "trigger.refs_skipped", "Refs existed before a trigger pattern matched them.", "refs"
    TRANSITION_DISABLED = "transition.disabled", "A stage accepts no runs.", "stage", "by"
    TRANSITION_ENABLED = "transition.enabled", "A stage accepts runs again.", "stage", "by"
    REPORTER_FAILED = "reporter.failed", "A reporter could not deliver.", "reporter", "reason"

    DEMO_STEP = "demo.step", "A step of the demonstration began."
    DEMO_REFUSED = "demo.refused", "The broken version of the demonstration was rolled back, as expected."


FORMER_KINDS = {
    "balancer.started": EventKind.BALANCER_RESTARTED,
    "build.pull": EventKind.IMAGE_PULLING,
    "build.reused": EventKind.BUILD_CACHED,
    "build.untested": EventKind.TEST_SKIPPED,
    "serve.refused": EventKind.CONFIG_REJECTED,
    "serve.reloaded": EventKind.CONFIG_RELOADED,
    "serve.waiting": EventKind.SUPERVISOR_BLOCKED,
    "target.cut": EventKind.TARGET_REQUESTS_ABORTED,
    "target.initial": EventKind.TARGET_REGISTERED,
    "target.waiting": EventKind.TARGET_NOT_HEALTHY,
    "transition.closed": EventKind.TRANSITION_DISABLED,
    "transition.opened": EventKind.TRANSITION_ENABLED,
    "trigger.adopted": EventKind.TRIGGER_REFS_SKIPPED,
    "trigger.waiting": EventKind.TRIGGER_NO_REFS,
    "upkeep.failed": EventKind.RECONCILE_FAILED,
    "upkeep.found": EventKind.RECONCILE_DRIFT,
    "upkeep.mended": EventKind.RECONCILE_REPAIRED,
    "upkeep.stopped": EventKind.RECONCILE_PREEMPTED,
    "watch.polling": EventKind.TRIGGER_POLLING,
}
"""Kinds that databases of version 0.1.0 hold under another name."""


def current_kind(stored: str) -> str:
    """Return today's name of a stored kind. Kinds that are not known stay as they are."""
    return FORMER_KINDS.get(stored, stored)
