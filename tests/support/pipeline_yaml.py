"""Valid `pipeline.yaml` files. `MINIMAL` has only the required keys."""

from __future__ import annotations

GOOD = """\
name: shop
source:
  repository: .
  branch: main
build:
  context: app
  test: {command: [make, test]}
deploy:
  target_group: web
  replicas: 3
balancer:
  target_groups:
    web:
      port: 8080
      health_check: {path: /up, interval: 1s}
  load_balancers:
    edge:
      listeners:
        - {port: 8000, default_action: {forward: web}}
"""


MINIMAL = """\
name: shop
deploy: {target_group: web}
balancer:
  target_groups: {web: {port: 80}}
  load_balancers: {edge: {listeners: [{port: 8000, default_action: {forward: web}}]}}
"""
