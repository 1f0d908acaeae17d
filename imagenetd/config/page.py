"""Options of the ways in which people vote; `conf/qc/page` and `conf/qc/mturk` are their interface."""

from dataclasses import dataclass
from typing import Annotated

from omegaconf import MISSING

from imagenetd.config.ranges import AnyCount, Days, MayBeEmpty, Range


@dataclass(slots=True)
class PageConfig:
    """The page of `qc=local`; nothing here changes a vote."""

    host: str = MISSING
    """Address to listen on; 127.0.0.1 is this machine alone."""
    port: Annotated[int, Range(0, 65_535)] = MISSING
    """0: any free one."""
    public_url: str | None = MISSING
    """How workers reach the page, e.g. https://pictures.example.org; null: host and port."""
    certificate: str | None = MISSING
    """PEM file, to serve https without a proxy; null: http."""
    private_key: str | None = MISSING
    """PEM file of the certificate's key."""
    link_days: Days = MISSING
    """An invitation is good for so long."""
    session_hours: Annotated[float, Range(0, 87_600, open_low=True)] = MISSING
    """After so long the invitation must be opened again."""
    timeout_minutes: Annotated[float, Range(0, 525_600, open_low=True)] = MISSING
    """A task that was not touched for so long goes to somebody else."""
    form_days: Days = MISSING
    """A task that was taken away on an offline form goes to somebody else after so long."""
    max_request_kb: Annotated[int, Range(1, 1_000_000)] = MISSING
    """A larger request is refused."""


@dataclass(slots=True)
class MturkConfig:
    """Amazon Mechanical Turk, of `qc=mturk`; the commands use the sandbox unless they are given --production."""

    region: str = MISSING
    profile: str | None = MISSING
    """Of the AWS credentials; null: the default ones."""
    reward_usd: Annotated[float, Range(0, 10_000)] = MISSING
    """For one task."""
    images_url: str | None = MISSING
    """Where the exported pictures can be fetched with https; for HTML questions."""
    forms_url: str | None = MISSING
    """Where the exported forms can be fetched with https; for external questions. Give one of the two."""
    title: str = MISSING
    description: str = MISSING
    keywords: Annotated[list[str], MayBeEmpty()] = MISSING
    lifetime_days: Annotated[float, Range(0, 365, open_low=True)] = MISSING
    """Tasks can be taken for so long."""
    duration_minutes: Annotated[float, Range(0, 525_600, open_low=True)] = MISSING
    """A worker has so long for one task."""
    approval_days: Annotated[float, Range(0, 30)] = MISSING
    """After so long Amazon pays what was not reviewed."""
    min_approved_percent: Annotated[int, Range(0, 100)] | None = MISSING
    """Only workers with this share of approved work; null: anybody. Not asked in the sandbox."""
    min_approved_tasks: AnyCount | None = MISSING
    """Only workers with so many approved tasks; null: anybody. Not asked in the sandbox."""
    countries: Annotated[list[str], MayBeEmpty()] = MISSING
    """Two-letter codes; empty: anywhere."""
    shut_out_failed: bool = MISSING
    """A worker who failed a sentinel gets no more of these tasks."""
    reject_failed: bool = MISSING
    """A response that failed a sentinel is rejected and not paid; false: it is paid and dropped."""
