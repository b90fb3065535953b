"""The metrics, by the names that CloudWatch has for them in `AWS/ApplicationELB`.

One rule makes a name of Prometheus' out of each: `aws_applicationelb_`, the words of CloudWatch's name in small letters
with a `_` between them, and what Prometheus ends such names with: `_total` for what is counted, `_seconds` for times.
So `HTTPCode_Target_2XX_Count` is `aws_applicationelb_http_code_target_2xx_count_total`. The help begins with the name
that CloudWatch has. Its dimensions are the labels `load_balancer` and `target_group`, with the access log's values.
"""

from __future__ import annotations

import re
from typing import Literal

from pipeline.balancer.telemetry.exposition import Family

_PREFIX = "aws_applicationelb_"
_ENDINGS = {"counter": "_total", "gauge": "", "histogram": "_seconds"}
_BETWEEN_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def _family(name: str, text: str, kind: Literal["counter", "gauge", "histogram"] = "counter") -> tuple[str, Family]:
    words = _BETWEEN_WORDS.sub("_", name).lower()
    return name, Family(f"{_PREFIX}{words}{_ENDINGS[kind]}", kind, f"{name}: {text}")


FAMILIES = dict(
    (
        _family("RequestCount", "requests for which a target was chosen."),
        _family(
            "RequestCountPerTarget",
            "the same by target, for those that are registered now. CloudWatch has the average, avg() of this.",
        ),
        _family("ProcessedBytes", "bytes received from and sent to clients, headers included."),
        _family("HTTP_Redirect_Count", "redirect actions."),
        _family("HTTP_Fixed_Response_Count", "fixed-response actions."),
        *(
            _family(f"HTTPCode_ELB_{code}_Count", f"answers of {code} that the load balancer gave by itself.")
            for code in ("3XX", "4XX", "5XX", "500", "502", "503", "504")
        ),
        *(
            _family(f"HTTPCode_Target_{code}_Count", f"answers of {code} that targets gave.")
            for code in ("2XX", "3XX", "4XX", "5XX")
        ),
        _family(
            "TargetResponseTime",
            "from when a request was with its target until the headers of the answer came, in seconds.",
            "histogram",
        ),
        _family(
            "TargetConnectionErrorCount",
            "connections to targets that failed; with those that a target closed before it answered, where the request "
            "was then given to another.",
        ),
        _family(
            "NonStickyRequestCount",
            "requests that came without a cookie of a target that is there, where AWSALB keeps clients with targets.",
        ),
        _family("HealthyHostCount", "targets that are healthy, for each load balancer that uses them.", "gauge"),
        _family("UnHealthyHostCount", "targets that fail their health checks, likewise.", "gauge"),
    )
)
UNREADABLE = Family(
    "penstock_access_log_unreadable_lines_total", "counter", "Lines of the access log that made no sense."
)
