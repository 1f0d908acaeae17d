"""Bring the answers in, approve what passes the sentinels, reject what does not."""

from collections.abc import Callable
from dataclasses import dataclass

from imagenetd.errors import StoreError
from imagenetd.qc.annotate.forms import read_result, response_of_result
from imagenetd.qc.annotate.room import Room
from imagenetd.qc.annotate.turk.bill import Bill, bill, reward_of
from imagenetd.qc.annotate.turk.campaign import Campaign
from imagenetd.qc.annotate.turk.question import answer_text
from imagenetd.qc.annotate.turk.service import Reply, TurkError, error_code
from imagenetd.qc.annotate.turk.state import Assignment

ALREADY_REVIEWED = "AWS.MechanicalTurk.InvalidAssignmentState"
STATUSES = ["Submitted", "Approved", "Rejected"]
WORKER_CHARS = 12
THANKS = "Thank you."


@dataclass(frozen=True, slots=True)
class Poll:
    """What a look at Amazon brought."""

    num_new: int
    num_known: int
    problems: tuple[str, ...]
    """Assignments whose answers cannot be read; they are neither approved nor rejected by a command."""


def worker_name(room: Room, turk_worker: str) -> str:
    """Return the name under which a worker's votes are kept: the same each time, and not Amazon's id."""
    code = room.signer.name("turk worker", turk_worker)[:WORKER_CHARS]
    return f"mturk-{code.replace('-', '.').replace('_', '.')}"


def poll(campaign: Campaign) -> Poll:
    """Take in every assignment that is new; those known before only tell their status."""
    new, known, problems = 0, 0, []
    for task_id, hit in list(campaign.state.hits.items()):
        arguments = {"HITId": hit.hit_id, "AssignmentStatuses": STATUSES}
        for found in campaign.service.listed("list_assignments_for_hit", "Assignments", **arguments):
            name = found["AssignmentId"]
            before = campaign.state.assignments.get(name)
            if before is not None:
                before.status = found["AssignmentStatus"]
                known += 1
                continue
            one = Assignment(task_id, found["WorkerId"], found["AssignmentStatus"])
            one.problem = _take_in(campaign, found, one)
            campaign.state.assignments[name] = one
            new += 1
        campaign.state.save()
    problems = [f"{name}: {one.problem}" for name, one in campaign.state.assignments.items() if one.problem]
    return Poll(new, known, tuple(problems))


def _take_in(campaign: Campaign, found: Reply, one: Assignment) -> str:
    """Keep the response of an assignment; return what is wrong with it, empty when nothing is."""
    room, origin = campaign.room, f"assignment {found['AssignmentId']}"
    try:
        result = read_result(room, answer_text(found["Answer"]), origin)
        if result.task_id != one.task_id:
            raise StoreError(f"{origin} answers another task than its HIT asks.")
        response = response_of_result(room, result, worker_name(room, one.turk_worker), origin)
        room.desk.take_in(response, sent_s=found["SubmitTime"].timestamp())
    except StoreError as error:
        return str(error)
    return ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done with one submitted assignment."""

    assignment: str
    turk_worker: str
    failed: str
    """Why it fails the sentinels; empty when it passes."""
    is_rejected: bool


def verdicts(campaign: Campaign) -> list[Verdict]:
    """Judge every submitted assignment that could be read."""
    found, votes = [], campaign.room.votes
    for name, one in campaign.state.assignments.items():
        received = votes.received(one.task_id, worker_name(campaign.room, one.turk_worker))
        if one.status != "Submitted" or one.problem or received is None:
            continue
        failed = votes.failed_sentinels(received.response)
        found.append(Verdict(name, one.turk_worker, failed, bool(failed) and campaign.options.reject_failed))
    return found


def review(campaign: Campaign, *, agreed: Callable[[Bill], bool]) -> list[Verdict]:
    """Approve and reject; return what was done.

    Args:
        campaign: Folder, options and service; `poll` goes before.
        agreed: Told what the approvals cost; False stops before anything is paid or rejected.
    """
    judged = verdicts(campaign)
    total = bill_of_approvals(campaign, judged)
    num_rejected = sum(one.is_rejected for one in judged)
    campaign.say(f"approve {len(judged) - num_rejected}, reject {num_rejected}; {total}")
    if not judged or not agreed(total):
        return []
    for one in judged:
        _settle(campaign, one)
        campaign.state.assignments[one.assignment].status = "Rejected" if one.is_rejected else "Approved"
        campaign.state.save()
    return judged


def bill_of_approvals(campaign: Campaign, judged: list[Verdict]) -> Bill:
    """Return what is paid when the verdicts are carried out."""
    most = {
        name: campaign.state.hits[one.task_id].max_assignments
        for name, one in campaign.state.assignments.items()
        if one.task_id in campaign.state.hits
    }
    paid = [(1, most.get(one.assignment, 1)) for one in judged if not one.is_rejected]
    return bill(reward_of(campaign.options.reward_usd), paid)


def _settle(campaign: Campaign, verdict: Verdict) -> None:
    """Carry one verdict out; one that was carried out before a kill is left as it is."""
    name, service = verdict.assignment, campaign.service
    if verdict.failed and campaign.options.shut_out_failed and campaign.state.qualification:
        service.call(
            "associate_qualification_with_worker",
            QualificationTypeId=campaign.state.qualification,
            WorkerId=verdict.turk_worker,
            IntegerValue=1,
            SendNotification=False,
        )
    try:
        if verdict.is_rejected:
            reason = f"Control pictures were not answered as asked: {verdict.failed}."
            service.call("reject_assignment", AssignmentId=name, RequesterFeedback=reason)
        else:
            service.call("approve_assignment", AssignmentId=name, RequesterFeedback=THANKS)
    except TurkError as error:
        if error_code(error) != ALREADY_REVIEWED:
            raise
