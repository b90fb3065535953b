"""What a commit may ask for."""

from __future__ import annotations

import pytest

from pipeline.config.models import Pipeline
from pipeline.config.policy import Policy, SecretUse


def pipeline(build: dict[str, object] | None = None, **deploy: object) -> Pipeline:
    return Pipeline.model_validate(
        {
            "name": "shop",
            "build": build or {},
            "deploy": {"target_group": "web", **deploy},
            "balancer": {
                "target_groups": {"web": {"port": 80}},
                "load_balancers": {"edge": {"listeners": [{"port": 80, "default_action": {"forward": "web"}}]}},
            },
        }
    )


def test_an_approval_fulfils_the_policy() -> None:
    """A required approval is any approval."""
    policy = Policy(approval="required")
    assert list(policy.objections(pipeline(approval={}), frozenset(), "main", "watch")) == []
    assert list(policy.objections(pipeline(), frozenset(), "main", "watch")) != []


@pytest.mark.parametrize(
    ("refs", "triggers", "ref", "trigger", "allowed"),
    [
        ((), (), "anything", "webhook", True),
        (("main",), (), "main", "watch", True),
        (("main",), (), "mainly", "watch", False),
        (("main",), (), "x/main", "watch", False),
        (("release/*",), (), "release/1", "watch", True),
        (("release/*",), (), "release/1/x", "watch", False),
        (("*",), (), "release/1", "watch", False),
        (("main",), ("hook",), "main", "watch", False),
        (("main",), ("hook", "watch"), "main", "watch", True),
        (("main",), (), "a" * 40, "command", False),
    ],
)
def test_runs_that_may_use_a_secret(
    refs: tuple[str, ...], triggers: tuple[str, ...], ref: str, trigger: str, *, allowed: bool
) -> None:
    """Both the ref and the trigger must match. `*` does not cross folders, as in `triggers`."""
    use = SecretUse.model_validate({"refs": refs, "triggers": triggers})
    assert use.allows(ref, trigger) is allowed


def test_what_a_build_may_use_of_this_machine() -> None:
    """Local caches are paths as volumes are, and agents are listed as they are written."""
    build: dict[str, object] = {
        "cache_from": ["app:cache", "type=registry,ref=app", "type=local,src=/srv/cache/a", "Type=local,SRC=/etc"],
        "cache_to": ["type=local,mode=max,dest=/srv/cache/../../etc", "type=inline"],
        "ssh": ["default", "key=/root/.ssh/id"],
    }
    limited = Policy.model_validate({"volumes": ["/srv/cache"], "ssh": ["default"]})
    assert list(limited.objections(pipeline(build), frozenset(), "main", "watch")) == [
        "its builds use the cache /etc, which is not in volumes",
        "its builds use the cache /srv/cache/../../etc, which is not in volumes",
        "its builds use the SSH agent key=/root/.ssh/id, which is not in ssh",
    ]
    assert list(Policy().objections(pipeline(build), frozenset(), "main", "watch")) == []


@pytest.mark.parametrize(
    ("allowed", "added", "refused"),
    [
        (None, ["ALL"], []),
        ([], [], []),
        ([], ["NET_ADMIN"], ["NET_ADMIN"]),
        ([], ["ALL"], ["ALL"]),
        ([], ["CHOWN", "NET_BIND_SERVICE"], []),
        (["cap_net_admin"], ["NET_ADMIN"], []),
        (["NET_ADMIN"], ["ALL"], ["ALL"]),
        (["NET_ADMIN"], ["NET_ADMIN", "NET_RAW", "SYS_ADMIN"], ["NET_RAW", "SYS_ADMIN"]),
        (["ALL"], ["ALL"], []),
        (["ALL"], ["SYS_ADMIN"], []),
    ],
)
@pytest.mark.parametrize("section", ["deploy", "build.test", "build.test.services.db"])
def test_capabilities_that_a_commit_may_add(
    allowed: list[str] | None, added: list[str], refused: list[str], section: str
) -> None:
    """Each capability beyond the default ones needs the policy, in all containers of a commit."""
    adding = {"cap_add": added}
    tests = {"command": ["true"], **(adding if section == "build.test" else {})}
    if section.endswith("db"):
        tests["services"] = {"db": {"image": "postgres", **adding}}
    asked = pipeline({"test": tests}, **(adding if section == "deploy" else {}))
    found = list(Policy.model_validate({"capabilities": allowed}).objections(asked, frozenset(), "main", "watch"))
    assert found == [f"it adds {name} in {section}.cap_add, which is not in capabilities" for name in refused]


def test_all_objections_are_listed() -> None:
    """Each volume and each secret that is not allowed."""
    policy = Policy.model_validate({"volumes": [], "secrets": {}, "approval": "required"})
    asked = pipeline(volumes=["/:/host", "data:/data"])
    assert len(list(policy.objections(asked, frozenset({"A", "B"}), "main", "watch"))) == 5
