"""Publish tasks on Mechanical Turk: once each, after the bill was seen and agreed to."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from imagenetd.errors import ConfigError
from imagenetd.qc.annotate.turk.bill import MANY, Bill, bill, reward_of
from imagenetd.qc.annotate.turk.campaign import Campaign
from imagenetd.qc.annotate.turk.pages import question
from imagenetd.qc.annotate.turk.requirements import make_qualification, requirements
from imagenetd.qc.annotate.turk.service import TurkError, error_code
from imagenetd.qc.annotate.turk.state import Hit

DAY_S, MINUTE_S = 86_400, 60
EXISTS = "AWS.MechanicalTurk.HitAlreadyExists"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to be paid for: a new HIT, or more assignments of one."""

    task_id: str
    num_assignments: int
    max_assignments: int
    """Of the HIT afterwards; decides the fee."""


def planned_steps(campaign: Campaign) -> list[Step]:
    """Return what is to be published so that every task gets the responses that it waits for."""
    steps = []
    missing, open_work = campaign.room.votes.missing(), num_open(campaign)
    for task in campaign.room.task_set.tasks:
        more = missing.get(task.task_id, 0) - open_work.get(task.task_id, 0)
        hit = campaign.state.hits.get(task.task_id)
        if more <= 0:
            continue
        if hit is None:
            steps.append(Step(task.task_id, more, more))
            continue
        if hit.max_assignments < MANY <= hit.max_assignments + more:
            most = MANY - 1 - hit.max_assignments
            campaign.say(
                f"{task.task_id}: Amazon raises a HIT of {hit.max_assignments} to {MANY - 1} assignments at most, "
                f"so that {more - most} responses stay missing there"
            )
            more = most
        if more > 0:
            steps.append(Step(task.task_id, more, hit.max_assignments + more))
    return steps


def num_open(campaign: Campaign) -> dict[str, int]:
    """Return, for each published task, how many assignments may still bring a response."""
    counts = {task_id: hit.max_assignments for task_id, hit in campaign.state.hits.items()}
    for one in campaign.state.assignments.values():
        if one.task_id in counts:
            counts[one.task_id] -= 1
    return counts


def bill_of(campaign: Campaign, steps: list[Step]) -> Bill:
    """Return what the steps cost when all is approved."""
    reward = reward_of(campaign.options.reward_usd)
    return bill(reward, [(step.num_assignments, step.max_assignments) for step in steps])


def publish(campaign: Campaign, *, agreed: Callable[[Bill], bool]) -> int:
    """Publish what is missing; return the number of new HITs and raised ones.

    Args:
        campaign: Folder, options and service.
        agreed: Told the bill; False stops before anything is published.
    """
    adopt(campaign)
    _keep_open(campaign)
    steps = planned_steps(campaign)
    total = bill_of(campaign, steps)
    campaign.say(str(total))
    if not steps or not agreed(total):
        return 0
    require_balance(campaign, total.total_usd)
    if campaign.options.shut_out_failed and campaign.state.qualification is None:
        campaign.state.qualification = make_qualification(campaign)
        campaign.state.save()
    for step in steps:
        if step.task_id in campaign.state.hits:
            _raise(campaign, step)
        else:
            _create(campaign, step)
        campaign.state.save()
    return len(steps)


def adopt(campaign: Campaign) -> None:
    """Learn of HITs that were published before a kill; Amazon's own token holds for a day only."""
    names = {hit_mark(campaign, task.task_id): task.task_id for task in campaign.room.task_set.tasks}
    for found in campaign.service.listed("list_hits", "HITs"):
        task_id = names.get(found.get("RequesterAnnotation", ""))
        if task_id is not None:
            expires_s = found["Expiration"].timestamp() if "Expiration" in found else 0.0
            campaign.state.hits[task_id] = Hit(found["HITId"], int(found["MaxAssignments"]), expires_s)
    campaign.state.save()


def _keep_open(campaign: Campaign) -> None:
    """Offer again what was paid for once and found nobody before it expired."""
    now, open_work = campaign.clock(), num_open(campaign)
    missing = campaign.room.votes.missing()
    for task_id, hit in campaign.state.hits.items():
        if hit.expires_s < now and open_work[task_id] > 0 and missing.get(task_id, 0) > 0:
            until = now + campaign.options.lifetime_days * DAY_S
            when = datetime.fromtimestamp(until, UTC)
            campaign.service.call("update_expiration_for_hit", HITId=hit.hit_id, ExpireAt=when)
            hit.expires_s = until
            campaign.say(f"{task_id}: offered again until {when:%Y-%m-%d}")
    campaign.state.save()


def require_balance(campaign: Campaign, total_usd: Decimal) -> None:
    """Raise ConfigError when the account cannot pay for it."""
    available = Decimal(campaign.service.call("get_account_balance")["AvailableBalance"])
    if available < total_usd:
        raise ConfigError(
            f"The account holds {available:.2f} USD, and {total_usd:.2f} USD are needed. Add money, or publish less "
            "(qc.tasks.workers_per_image, qc.mturk.reward_usd). Nothing was published."
        )


def _create(campaign: Campaign, step: Step) -> None:
    options, service = campaign.options, campaign.service
    asked: dict[str, object] = {
        "Title": options.title,
        "Description": options.description,
        "Keywords": ", ".join(options.keywords),
        "Reward": str(reward_of(options.reward_usd)),
        "MaxAssignments": step.num_assignments,
        "LifetimeInSeconds": round(options.lifetime_days * DAY_S),
        "AssignmentDurationInSeconds": round(options.duration_minutes * MINUTE_S),
        "AutoApprovalDelayInSeconds": round(options.approval_days * DAY_S),
        "Question": question(campaign, campaign.room.votes.task(step.task_id)),
        "RequesterAnnotation": hit_mark(campaign, step.task_id),
        "QualificationRequirements": requirements(campaign),
        "UniqueRequestToken": campaign.room.signer.name("turk hit", service.name, step.task_id),
    }
    try:
        hit = service.call("create_hit", **asked)["HIT"]
    except TurkError as error:
        if error_code(error) != EXISTS:
            raise
        adopt(campaign)  # it was published by a command whose answer was lost
        if step.task_id not in campaign.state.hits:
            raise
        return
    expires_s = campaign.clock() + options.lifetime_days * DAY_S
    campaign.state.hits[step.task_id] = Hit(hit["HITId"], step.num_assignments, expires_s)


def _raise(campaign: Campaign, step: Step) -> None:
    hit = campaign.state.hits[step.task_id]
    token = campaign.room.signer.name("turk more", hit.hit_id, hit.max_assignments, step.num_assignments)
    campaign.service.call(
        "create_additional_assignments_for_hit",
        HITId=hit.hit_id,
        NumberOfAdditionalAssignments=step.num_assignments,
        UniqueRequestToken=token,
    )
    hit.max_assignments = step.max_assignments


def hit_mark(campaign: Campaign, task_id: str) -> str:
    """Return the annotation by which our HIT of a task is found again; workers do not see it."""
    return f"imagenetd {campaign.room.signer.name('turk mark', campaign.service.name, task_id)}"
