"""The labels of containers, networks and images, and the tags of images.

Penstock changes and removes only objects that carry the label of its own home.
"""

from __future__ import annotations

import hashlib
import re

LABEL_PREFIX = "penstock."
LABEL_HOME = "penstock.home"
LABEL_PIPELINE = "penstock.pipeline"
# A container without this label belongs to the service `web`.
LABEL_SERVICE = "penstock.service"
LABEL_RELEASE = "penstock.release"
LABEL_RUN = "penstock.run"
LABEL_TEMPLATE = "penstock.template"
LABEL_ROLE = "penstock.role"
LABEL_TREE = "penstock.tree"
# The images of the other stages, which the classic builder leaves without a tag. They are removed with the image.
LABEL_STAGES = "penstock.stages"
LABEL_GRACE = "penstock.stop-grace"
# The signal that stops the container. Absent if it is that of the image.
LABEL_STOP_SIGNAL = "penstock.stop-signal"
# The `Stamp` of the start. The engine itself knows only the wall time, which may have been set since.
LABEL_STARTED = "penstock.started"
# In seconds: the time after which a run of a job is stopped.
LABEL_TIMEOUT = "penstock.timeout"
# The published port of the host that leads to the container. Absent where the balancer uses the container's address.
LABEL_PORT = "penstock.port"
# The address at which the balancer reaches that port. Absent on containers of earlier versions.
LABEL_ADDRESS = "penstock.address"
# The port on which the container itself listens.
LABEL_TARGET_PORT = "penstock.target-port"
# The accessory of the container, and the version of it that the container runs.
LABEL_ACCESSORY = "penstock.accessory"
LABEL_VERSION = "penstock.version"
# The zone of the replica. Absent if its load balancers have none.
LABEL_ZONE = "penstock.zone"

ROLE_APP = "app"
# The tests, the services beside them, and their network.
ROLE_TEST = "test"
ROLE_RELEASE = "release-command"
ROLE_ACCESSORY = "accessory"
# The container of `pipeline run-once`.
ROLE_CONSOLE = "run-once"
# A run of a scheduled job.
ROLE_JOB = "job"

DEFAULT_SERVICE = "web"

TAGS = "penstock/"
"""The prefix of every tag that Penstock gives to an image, also in earlier versions, which had no home in it."""
_DIGEST = 8
# The registry of `PushReceiver`. A killed process leaves the tag.
_OWN_TAG = re.compile(rf"(127\.0\.0\.1:\d+/)?{TAGS}")


def is_own_tag(tag: str) -> bool:
    """Return whether Penstock gave this tag to an image."""
    return bool(_OWN_TAG.match(tag))


def image_tag(home: str, pipeline: str, version: str) -> str:
    """Return the tag of a pipeline's image. No other pipeline has it, in this home or in another one of the engine.

    Docker's names are in lower case, so a name with upper case gets a digest. No pipeline's name contains its dot.
    """
    name = pipeline.lower()
    if name != pipeline:
        name = f"{name}.{hashlib.sha256(pipeline.encode()).hexdigest()[:_DIGEST]}"
    return f"{TAGS}{home}/{name}:{version}"
