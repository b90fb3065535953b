"""The labels of everything we make. Nothing without our home's label is ever changed or removed."""

from __future__ import annotations

LABEL_HOME = "penstock.home"
LABEL_PIPELINE = "penstock.pipeline"
LABEL_RELEASE = "penstock.release"
LABEL_RUN = "penstock.run"
LABEL_TEMPLATE = "penstock.template"
LABEL_ROLE = "penstock.role"
LABEL_TREE = "penstock.tree"
LABEL_GRACE = "penstock.stop-grace"

ROLE_APP = "app"
# The tests, what runs beside them, and their network.
ROLE_TEST = "test"
ROLE_RELEASE = "release-command"
# The port of 127.0.0.1 by which a container is reached, where Docker publishes one.
LABEL_PORT = "penstock.port"
