"""Transforms of rules, from AWS's shape to the model and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.balancer.elbv2.api import checked
from pipeline.balancer.model.application.rule import Transforms

Shape = Mapping[str, Any]
_CONFIGS = {"host-header-rewrite": "HostHeaderRewriteConfig", "url-rewrite": "UrlRewriteConfig"}


def parse_transforms(given: Sequence[Shape]) -> Transforms:
    """Return the model of transforms. Raises `AwsError` for what they cannot be."""
    found: dict[str, Any] = {}
    for transform in given:
        kind, config = transform["Type"], transform.get(_CONFIGS[transform["Type"]], {})
        key, rewrites = kind.replace("-", "_"), config.get("Rewrites", ())
        if len(rewrites) != 1:
            raise AwsError("ValidationError", f"A '{_CONFIGS[kind]}' must have exactly one rewrite")
        if key in found:
            raise AwsError("ValidationError", f"A rule can have one transform of type '{kind}'")
        found[key] = {"regex": rewrites[0]["Regex"], "replace": rewrites[0]["Replace"]}
    return checked(Transforms, found)


def shown_transforms(transforms: Transforms) -> list[Shape]:
    """Return transforms in AWS's shape."""
    rewrites = {kind: getattr(transforms, kind.replace("-", "_")) for kind in _CONFIGS}
    return [
        {"Type": kind, _CONFIGS[kind]: {"Rewrites": [{"Regex": rewrite.regex, "Replace": rewrite.replace}]}}
        for kind, rewrite in rewrites.items()
        if rewrite
    ]
