"""The labels of containers, networks and images, and the prefix of image tags.

Penstock changes and removes only objects that carry the label of its own home.
"""

from __future__ import annotations

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
# The `Stamp` of the start. The engine itself knows only the wall time, which may have been set since.
LABEL_STARTED = "penstock.started"
# The published port of the host that leads to the container. Absent where the balancer uses the container's address.
LABEL_PORT = "penstock.port"
# The port on which the container itself listens.
LABEL_TARGET_PORT = "penstock.target-port"

ROLE_APP = "app"
# The tests, the services beside them, and their network.
ROLE_TEST = "test"
ROLE_RELEASE = "release-command"

DEFAULT_SERVICE = "web"

TAGS = "penstock/"
"""The prefix of every tag that Penstock gives to an image."""
