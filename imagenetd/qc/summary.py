"""What quality control found, as records; `plain` gives the values that stand in `summary.json` under `qc`.

The names of the fields are the keys there. `QcSummary.read` gives the records back.
"""

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

Interval = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class KnownShares:
    """Which images are valid, where the truth is known: counts of these images, without intervals."""

    truth: str
    """Who says so."""
    valid_share_pool: float | None
    valid_share_mined: float | None
    valid_share_accepted: float | None
    valid_kept: float | None
    """Of the valid mined images, the accepted ones."""


@dataclass(frozen=True, slots=True)
class MeasuredShare:
    """A share of these images, measured by votes on a sample of them."""

    value: float | None
    interval: tuple[float, float] | None
    """None for a count, which needs none, and where nothing is measured."""
    num_judged: int
    num_images: int | None = None
    """None where `why` says why nothing is measured."""
    why: str | None = None
    votes: str | None = None
    """Name of the folder of the votes, where it is another run's."""

    def plain(self) -> dict[str, object]:
        """Return the values under one key of `summary.json`."""
        found: dict[str, object] = {"value": self.value, "interval": self.interval and list(self.interval)}
        if self.why is None:
            found |= {"for": "these images", "num_judged": self.num_judged, "num_images": self.num_images}
        else:
            found |= {"num_judged": self.num_judged, "why": self.why}
        return found | ({} if self.votes is None else {"votes": self.votes})

    @classmethod
    def read(cls, plain: Mapping[str, Any] | None) -> Self | None:
        """Return the record of such values."""
        if plain is None:
            return None
        ends = plain["interval"]
        given = {name: plain.get(name) for name in ("num_images", "why", "votes")}
        return cls(plain["value"], None if ends is None else (ends[0], ends[1]), plain["num_judged"], **given)


@dataclass(frozen=True, slots=True)
class GateShares:
    """Precision and recall of a gate, and the share of valid images, of the mined images and of the pool."""

    precision_mined: MeasuredShare | None = None
    """None where nobody has judged any image in a known way, as of the others."""
    recall_mined: MeasuredShare | None = None
    valid_mined: MeasuredShare | None = None
    precision_pool: MeasuredShare | None = None
    recall_pool: MeasuredShare | None = None
    valid_pool: MeasuredShare | None = None

    def plain(self) -> dict[str, object]:
        """Return the values of `summary.json`."""
        named = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))
        return {name: None if share is None else share.plain() for name, share in named}

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Self:
        """Return the record of such values."""
        return cls(*(MeasuredShare.read(plain[field.name]) for field in dataclasses.fields(cls)))


@dataclass(frozen=True, slots=True)
class VoteStatistics:
    """What the votes are, and how much their workers agree; every share with its interval."""

    aggregation: str
    minority_images: int
    """Images that most votes accept, or those that most reject, whichever are fewer."""
    responses: int
    responses_dropped: int
    """By sentinels."""
    workers: int
    votes: int
    judgements: int
    """Answers, those on sentinels among them."""
    of_all_votes: tuple[float | None, float | None] | None
    """Acceptance and alpha of all votes, which stopping early biases; None where every image gets the same number."""
    acceptance: float | None
    acceptance_interval: Interval
    pairwise_agreement: float | None
    pairwise_agreement_interval: Interval
    majority_agreement: float | None
    majority_agreement_interval: Interval
    alpha: float | None
    """Krippendorff's."""
    alpha_interval: Interval

    def plain(self) -> dict[str, object]:
        """Return the values of `summary.json`."""
        found: dict[str, object] = {}
        for name, value in _fields(self).items():
            if name != "of_all_votes":
                found[name] = value
            elif self.of_all_votes is not None:
                found |= dict(zip(BIASED, self.of_all_votes, strict=True))
        return found

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Self:
        """Return the record of such values."""
        biased = (plain[BIASED[0]], plain[BIASED[1]]) if BIASED[0] in plain else None
        return cls(**_read_fields(cls, plain, but={"of_all_votes"}), of_all_votes=biased)


BIASED = ("acceptance_all_votes", "alpha_all_votes")


@dataclass(frozen=True, slots=True)
class GateBefore:
    """A gate that decides which images people are asked about."""

    gate_before_people: str
    """Its name."""
    arms: Mapping[str, int]
    """Sampling arm -> images."""
    shares: GateShares


@dataclass(frozen=True, slots=True)
class PeopleSummary:
    """What people or simulated workers were asked, and what they said."""

    tasks: int
    judged: int
    """Images."""
    votes_folder: str
    unmined_judged: int
    unmined_accepted: int
    votes: VoteStatistics
    hard_sentinels_from: str | None = None
    """Name of the folder whose votes settled the hard sentinels."""
    gate: GateBefore | None = None

    def plain(self) -> dict[str, object]:
        """Return the values of `summary.json`."""
        found = _fields(self, but={"votes", "hard_sentinels_from", "gate"})
        if self.hard_sentinels_from is not None:
            found["hard_sentinels_from"] = self.hard_sentinels_from
        if self.gate is not None:
            found |= _fields(self.gate, but={"shares"}) | self.gate.shares.plain()
        return found | self.votes.plain()

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Self:
        """Return the record of such values."""
        gate = None
        if "gate_before_people" in plain:
            gate = GateBefore(plain["gate_before_people"], plain["arms"], GateShares.read(plain))
        given = _read_fields(cls, plain, but={"votes", "hard_sentinels_from", "gate"})
        return cls(
            **given,
            votes=VoteStatistics.read(plain),
            hard_sentinels_from=plain.get("hard_sentinels_from"),
            gate=gate,
        )


@dataclass(frozen=True, slots=True)
class GateCount:
    """How many images the gate accepts: a count, so there is no interval."""

    images: int
    accepted: int
    share: float | None


@dataclass(frozen=True, slots=True)
class GateSummary:
    """What an independent gate decided, and what votes say of it."""

    gate: str
    gate_family: str
    calibration: str
    human_votes_on: int
    """Images."""
    votes_from: tuple[str, ...]
    gate_accepts_mined: GateCount
    gate_accepts_unmined: GateCount
    shares: GateShares
    gate_claims_pool: float | None
    """Mean probability of being valid that the gate gives to what it accepts: a claim, not a measurement."""
    gate_claims_mined: float | None

    def plain(self) -> dict[str, object]:
        """Return the values of `summary.json`."""
        found = _fields(self, but={"shares", "gate_claims_pool", "gate_claims_mined"})
        for name in ("gate_accepts_mined", "gate_accepts_unmined"):
            found[name] = dataclasses.asdict(getattr(self, name))
        claims = {"gate_claims_pool": self.gate_claims_pool, "gate_claims_mined": self.gate_claims_mined}
        return found | self.shares.plain() | claims

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Self:
        """Return the record of such values."""
        given = _read_fields(cls, plain, but={"shares"})
        for name in ("gate_accepts_mined", "gate_accepts_unmined"):
            given[name] = GateCount(**given[name])
        return cls(**given, shares=GateShares.read(plain))


@dataclass(frozen=True, slots=True)
class QcSummary:
    """What quality control found, whichever way it went."""

    method: str
    num_mined: int
    num_accepted: int
    truth: KnownShares | None = None
    votes: PeopleSummary | GateSummary | None = None
    """None where every mined image is accepted."""

    def plain(self) -> dict[str, object]:
        """Return the values of `summary.json`."""
        found = _fields(self, but={"truth", "votes"})
        found |= {} if self.truth is None else dataclasses.asdict(self.truth)
        return found | ({} if self.votes is None else self.votes.plain())

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Self:
        """Return the record of such values."""
        votes: PeopleSummary | GateSummary | None = None
        if "tasks" in plain:
            votes = PeopleSummary.read(plain)
        elif "gate" in plain:
            votes = GateSummary.read(plain)
        truth = KnownShares(**_read_fields(KnownShares, plain)) if "truth" in plain else None
        return cls(**_read_fields(cls, plain, but={"truth", "votes"}), truth=truth, votes=votes)


def _fields(record: Any, *, but: Collection[str] = ()) -> dict[str, object]:
    """Return the fields of a record as JSON knows them."""
    named = (
        (one.name, getattr(record, one.name)) for one in dataclasses.fields(record) if one.name not in but
    )
    return {name: list(value) if isinstance(value, tuple) else value for name, value in named}


def _read_fields(kind: Any, plain: Mapping[str, Any], *, but: Collection[str] = ()) -> dict[str, Any]:
    """Return what stands in JSON under the names of a record's fields."""
    named = ((one.name, plain[one.name]) for one in dataclasses.fields(kind) if one.name not in but)
    return {name: tuple(value) if isinstance(value, list) else value for name, value in named}
