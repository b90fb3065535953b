"""The sections `source` and `triggers`, from the source action of a CodePipeline."""

from __future__ import annotations

from typing import Any

from pipeline.stacks.codepipeline.notes import Notes
from pipeline.stacks.codepipeline.resources import Resources, members, objects, texts
from pipeline.stacks.codepipeline.shape import Action, Shape
from pipeline.stacks.template import JSON

_HOSTS = {"GitHub": "github.com", "Bitbucket": "bitbucket.org", "GitLab": "gitlab.com"}
_MODES = {"QUEUED": "queued", "PARALLEL": "parallel"}


def source_sections(shape: Shape, resources: Resources, region: str, notes: Notes) -> dict[str, Any]:
    """Return the sections about commits: `source`, and `triggers` and `execution_mode` if they are needed."""
    source = _repository(shape.source, resources, region, notes)
    triggers = _webhook(shape, resources, notes)
    for given in objects(shape.pipeline.properties.get("Triggers")):
        git = members(given.get("GitConfiguration"))
        pushes = objects(git.get("Push"))
        triggers |= {key: globs for key in ("branches", "tags") if (globs := _globs(pushes, key.title(), notes))}
        if paths := _globs(pushes, "FilePaths", notes):
            source["paths"] = paths
        if git.get("PullRequest"):
            notes.add("triggers by pull requests are left out")
    sections: dict[str, Any] = {"source": source}
    if triggers:
        sections["triggers"] = triggers
    if (mode := shape.pipeline.text("ExecutionMode")) in _MODES:
        sections["execution_mode"] = _MODES[mode]
    return sections


def _repository(action: Action, resources: Resources, region: str, notes: Notes) -> dict[str, Any]:
    if action.provider == "GitHub":
        notes.add("OAuthToken is left out: for a private repository write a token into the URL, or use an SSH URL")
        url = f"https://github.com/{action.text('Owner')}/{action.text('Repo')}.git"
        return {"repository": url, "branch": action.text("Branch") or "main"}
    if action.provider == "CodeStarSourceConnection":
        host = _host(action, resources, notes)
        url = f"https://{host}/{action.text('FullRepositoryId')}.git"
        return {"repository": url, "branch": action.text("BranchName") or "main"}
    if action.provider == "CodeCommit":
        notes.add("CodeCommit asks for a user name and a password: write those of git into the URL")
        host = f"git-codecommit.{region}.amazonaws.com/v1/repos"
        url = f"https://{host}/{action.text('RepositoryName')}"
        return {"repository": url, "branch": action.text("BranchName") or "main"}
    notes.add(f"{action.title} is no git repository: the one in this directory is used")
    return {"repository": "."}


def _host(action: Action, resources: Resources, notes: Notes) -> str:
    notes.add("the connection is left out: for a private repository write a token into the URL, or use an SSH URL")
    for type_ in ("AWS::CodeConnections::Connection", "AWS::CodeStarConnections::Connection"):
        arn = action.configuration.get("ConnectionArn")
        connection = resources.referred(arn, type_, "ConnectionName")
        if connection is not None and (provider := connection.text("ProviderType")):
            return _HOSTS.get(provider, f"<{provider}>")
    notes.add("the connection is not in the template: github.com is assumed")
    return "github.com"


def _webhook(shape: Shape, resources: Resources, notes: Notes) -> dict[str, Any]:
    """Return the trigger for a webhook of GitHub that the template declares."""
    for webhook in resources.of_type("AWS::CodePipeline::Webhook"):
        target = resources.referred(webhook.properties.get("TargetPipeline"), shape.pipeline.type, "Name")
        if target == shape.pipeline:
            notes.add(
                "the webhook needs `pipeline serve --public`, its URL /webhooks/NAME/github at GitHub, and the secret "
                "WEBHOOK_SECRET"
            )
            return {"webhooks": {"github": {"secret": "${secret:WEBHOOK_SECRET}"}}}
    return {}


def _globs(pushes: list[dict[str, JSON]], key: str, notes: Notes) -> list[str]:
    globs: list[str] = []
    for push in pushes:
        given = members(push.get(key))
        globs += texts(given.get("Includes"))
        if given.get("Excludes"):
            notes.add(f"Excludes of {key} in Triggers are left out")
    return globs
