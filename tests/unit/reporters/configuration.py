"""The commit, the token and the pipeline of the reporters' tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.base.masking import Mask
from pipeline.config.load import Configuration
from pipeline.config.models import Pipeline
from pipeline.config.secrets import Secrets

SHA = "1a2b3c4" + "0" * 33
TOKEN = "to:ken/with=odd&characters"


def reveal(text: str) -> str:
    """Replace a reference to the secret by the token."""
    return text.replace("${secret:TOKEN}", TOKEN)


def configured(reporters: dict[str, Any], path: Path, **secrets: str) -> Configuration:
    """Return a pipeline with these reporters."""
    pipeline = Pipeline.model_validate(
        {
            "name": "shop",
            "deploy": {"target_group": "web"},
            "reporters": reporters,
            "balancer": {
                "target_groups": {"web": {"port": 80}},
                "load_balancers": {"edge": {"listeners": [{"port": 8000, "default_action": {"forward": "web"}}]}},
            },
        }
    )
    return Configuration(pipeline, path, {}, Secrets({"TOKEN": TOKEN, **secrets}))


def masked(text: str) -> str:
    """Replace the token as `Events` does."""
    return Mask([TOKEN])(text)
