#!/usr/bin/env bash
# Package: botocore 1.44.8 (PyPI), which boto3 and the AWS CLI are made from.
#
# Input: three waiters of `cloudformation` for a stack, against answers that say that it is in one of five states. The
# waiters ask 3 times without delay; their default is 120 times, 30 s apart.
# Guess before trying: each waiter is done in the state of its name, and fails at once in another state in which a stack
# stays. `stack_create_complete` fails for a stack whose update was rolled back, and `stack_rollback_complete` is done
# when a rollback of either kind is.
#
# Behaviour seen: `stack_create_complete` is done after any update, also after one that was rolled back.
# `stack_rollback_complete` is for updates only: for a stack in ROLLBACK_COMPLETE, which is a creation that was rolled
# back, it waits an hour and fails. `stack_update_complete` waits an hour for a stack in CREATE_COMPLETE, and does not
# count UPDATE_COMPLETE_CLEANUP_IN_PROGRESS, which `stack_create_complete` does.
#
# Output seen:
#   stack_create_complete: CREATE_COMPLETE: done
#   stack_create_complete: ROLLBACK_COMPLETE: fails at once
#   stack_create_complete: UPDATE_COMPLETE: done
#   stack_create_complete: UPDATE_COMPLETE_CLEANUP_IN_PROGRESS: done
#   stack_create_complete: UPDATE_ROLLBACK_COMPLETE: done
#   stack_update_complete: CREATE_COMPLETE: waits to the end
#   stack_update_complete: ROLLBACK_COMPLETE: waits to the end
#   stack_update_complete: UPDATE_COMPLETE: done
#   stack_update_complete: UPDATE_COMPLETE_CLEANUP_IN_PROGRESS: waits to the end
#   stack_update_complete: UPDATE_ROLLBACK_COMPLETE: fails at once
#   stack_rollback_complete: CREATE_COMPLETE: waits to the end
#   stack_rollback_complete: ROLLBACK_COMPLETE: waits to the end
#   stack_rollback_complete: UPDATE_COMPLETE: waits to the end
#   stack_rollback_complete: UPDATE_COMPLETE_CLEANUP_IN_PROGRESS: waits to the end
#   stack_rollback_complete: UPDATE_ROLLBACK_COMPLETE: done
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m pip install --no-compile --quiet --disable-pip-version-check --target lib botocore==1.44.8 2>/dev/null
PYTHONPATH="$folder/lib" timeout 30 python3 - >seen <<'PYTHON'
import datetime

import botocore.session
from botocore.exceptions import WaiterError
from botocore.stub import Stubber

STATES = (
    "CREATE_COMPLETE",
    "ROLLBACK_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
    "UPDATE_ROLLBACK_COMPLETE",
)
client = botocore.session.get_session().create_client(
    "cloudformation", region_name="us-east-1", aws_access_key_id="id", aws_secret_access_key="secret"
)
for waiter in "stack_create_complete", "stack_update_complete", "stack_rollback_complete":
    for state in STATES:
        stack = {"StackName": "web", "CreationTime": datetime.datetime(2026, 1, 1), "StackStatus": state}
        with Stubber(client) as answers:
            for _ in range(3):
                answers.add_response("describe_stacks", {"Stacks": [stack]})
            try:
                client.get_waiter(waiter).wait(StackName="web", WaiterConfig={"Delay": 0, "MaxAttempts": 3})
                result = "done"
            except WaiterError as error:
                result = "fails at once" if "terminal" in error.kwargs["reason"] else "waits to the end"
        print(f"{waiter}: {state}: {result}")
PYTHON
cat seen
diff - seen <<'SEEN'
stack_create_complete: CREATE_COMPLETE: done
stack_create_complete: ROLLBACK_COMPLETE: fails at once
stack_create_complete: UPDATE_COMPLETE: done
stack_create_complete: UPDATE_COMPLETE_CLEANUP_IN_PROGRESS: done
stack_create_complete: UPDATE_ROLLBACK_COMPLETE: done
stack_update_complete: CREATE_COMPLETE: waits to the end
stack_update_complete: ROLLBACK_COMPLETE: waits to the end
stack_update_complete: UPDATE_COMPLETE: done
stack_update_complete: UPDATE_COMPLETE_CLEANUP_IN_PROGRESS: waits to the end
stack_update_complete: UPDATE_ROLLBACK_COMPLETE: fails at once
stack_rollback_complete: CREATE_COMPLETE: waits to the end
stack_rollback_complete: ROLLBACK_COMPLETE: waits to the end
stack_rollback_complete: UPDATE_COMPLETE: waits to the end
stack_rollback_complete: UPDATE_COMPLETE_CLEANUP_IN_PROGRESS: waits to the end
stack_rollback_complete: UPDATE_ROLLBACK_COMPLETE: done
SEEN
