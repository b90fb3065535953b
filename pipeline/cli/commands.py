"""The names of all commands, each with its line in the help."""

from __future__ import annotations

GROUPS = {
    "Start": {
        "demo": "Demonstrate a build, a rollout under load, a failure and a rollback.",
        "init": "Create a pipeline.yaml for the project in this directory.",
        "import": "Translate a Compose file, a Procfile or a CodePipeline of AWS.",
        "validate": "Report every mistake in pipeline.yaml.",
        "secrets": "Check the secrets that pipeline.yaml uses.",
        "doctor": "Check this machine, Docker, the balancer, the daemon and the hosts.",
        "schema": "Print the JSON Schema of pipeline.yaml.",
        "completion": "Print the script for the completion of a shell.",
    },
    "Deploy": {
        "plan": "Show what a run would do. Changes nothing.",
        "run": "Build, test and roll out a commit.",
        "rollback": "Roll back to a previous release.",
        "restart": "Replace the containers of the active release by new ones.",
        "scale": "Change the number of containers.",
        "down": "Drain and remove everything of this pipeline.",
        "stack": "Create, update and delete resources from a template.",
    },
    "Automate": {
        "serve": "Run new commits and keep deployed releases healthy.",
        "watch": "Do the same for one pipeline in the foreground.",
        "hook": "Manage git hooks that notify the daemon.",
        "service": "Manage a systemd unit for `pipeline serve`.",
        "web": "Give access to the web interface, and take it back.",
        "aws": "Manage access keys of the AWS APIs.",
    },
    "Control": {
        "accessory": "Start, upgrade and back up databases and the like.",
        "exec": "Run a command in a container of the application.",
        "run-once": "Run a command in a new container of the active release.",
        "job": "List, run and cancel scheduled jobs.",
        "recover": "Repair the state after a crash.",
        "cancel": "Cancel a run.",
        "retry": "Retry a run that did not succeed.",
        "approve": "Approve a run that waits for approval.",
        "reject": "Reject a run that waits for approval.",
        "scaling": "Show, suspend and resume auto scaling, and try a policy on an access log.",
        "node": "Show the machines that run replicas, and keep one free of them.",
        "promote": "Continue a deployment that waits.",
        "abort": "Roll the deployment in progress back.",
        "transition": "Disable or enable the transition into a stage.",
    },
    "Inspect": {
        "list": "List the pipelines of the home.",
        "now": "Print what all pipelines are doing.",
        "status": "Show the active release, current runs and the queue.",
        "history": "List the latest runs.",
        "timeline": "Show what a run did when, container by container.",
        "releases": "List the releases.",
        "events": "List events.",
        "logs": "Print the output of a run's stages.",
        "artifacts": "List files kept from a run's tests.",
        "balancer": "Show load balancers, rules and targets, their log and metrics.",
    },
}
COMMANDS = {name: text for group in GROUPS.values() for name, text in group.items()}
"""Every command with its line in the help."""

MODULES = {"import": "imports", "list": "pipelines", "run-once": "run_once"}
"""The modules of commands whose name is no name for a module. The other modules have the command's name."""

SUMMARY = (
    "Build a commit into a tested image and roll it out behind a load balancer without losing a request.",
    "Exit codes: 0 succeeded, 1 failed, 2 bad configuration or usage, 3 system fault, 4 rolled back, "
    "5 rollback failed, 130 cancelled.",
)
"""The paragraphs of the help."""
