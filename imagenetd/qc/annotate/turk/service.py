"""Amazon's service: which one, how its lists are read to the end, and its errors in one line."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from imagenetd.config.page import MturkConfig
from imagenetd.errors import ConfigError, UserError

SANDBOX = "https://mturk-requester-sandbox.us-east-1.amazonaws.com"
PRODUCTION = "https://mturk-requester.us-east-1.amazonaws.com"
SUBMIT_TO = {"sandbox": "https://workersandbox.mturk.com", "production": "https://www.mturk.com"}
PAGE_SIZE = 100


Reply: TypeAlias = dict[str, Any]
"""What Mechanical Turk answers, or one item of it, under Amazon's own names, e.g. `AssignmentId`."""


class TurkError(UserError):
    """Amazon refused, or cannot be reached."""


@dataclass(frozen=True)
class Service:
    """One of Amazon's two services."""

    client: Any
    """boto3's client."""
    is_production: bool

    @property
    def name(self) -> str:
        """`sandbox` or `production`."""
        return "production" if self.is_production else "sandbox"

    def call(self, operation: str, **arguments: object) -> Reply:
        """Call one operation; Amazon's refusal is a TurkError of one line."""
        with explained(operation, self.name):
            return getattr(self.client, operation)(**arguments)

    def listed(self, operation: str, field: str, **arguments: object) -> Iterator[Reply]:
        """Yield the items of a list, page by page."""
        token: dict[str, str] = {}
        while True:
            page = self.call(operation, MaxResults=PAGE_SIZE, **arguments, **token)
            yield from page.get(field, ())
            if not page.get("NextToken"):
                return
            token = {"NextToken": page["NextToken"]}


def open_service(options: MturkConfig, *, is_production: bool) -> Service:
    """Connect to the sandbox, or to production when it is asked for."""
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        session = boto3.Session(profile_name=options.profile)
        client = session.client(
            "mturk", region_name=options.region, endpoint_url=PRODUCTION if is_production else SANDBOX
        )
    except BotoCoreError as error:
        raise ConfigError(
            f"qc.mturk.profile={options.profile} gives no access to AWS ({error}). "
            "Name a profile of ~/.aws/credentials, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        ) from error
    return Service(client, is_production)


@contextlib.contextmanager
def explained(operation: str, service: str) -> Iterator[None]:
    """Turn an error of boto3 into a TurkError."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {})
        raise TurkError(
            f"Mechanical Turk ({service}) refused {operation}: {said.get('Code')}: {said.get('Message')} "
            "What was done before is kept; start the command again when it is mended."
        ) from error
    except BotoCoreError as error:
        raise TurkError(
            f"Mechanical Turk ({service}) cannot be asked for {operation}: {error} "
            "What was done before is kept; start the command again."
        ) from error


def error_code(error: TurkError) -> str:
    """Return Amazon's own code of a refusal, e.g. `AWS.MechanicalTurk.HitAlreadyExists`; empty for none."""
    return getattr(error.__cause__, "response", {}).get("TurkErrorCode", "")
