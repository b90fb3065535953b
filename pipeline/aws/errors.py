"""The error that an operation of an AWS API answers with."""

from __future__ import annotations


class AwsError(Exception):
    """An error as an AWS client sees it.

    `code` is the code on the wire, such as `LoadBalancerNotFound`. In botocore's model, the name of the shape may be
    another, here `LoadBalancerNotFoundException`. `message` says what is wrong and what to send instead, in AWS's words
    where they are known. `status` is the HTTP status. Clients repeat a request after a status of 500 and more.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
