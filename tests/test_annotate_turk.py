"""Mechanical Turk against botocore's stub: every call is checked against Amazon's own service model."""

import contextlib
import datetime
import io
import json
import urllib.parse
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import boto3
import pytest
import yaml
from botocore.stub import ANY, Stubber

from imagenetd.config.page import MturkConfig
from imagenetd.errors import ConfigError, StoreError
from imagenetd.qc.annotate.commands import main
from imagenetd.qc.annotate.forms import read_result, response_of_result
from imagenetd.qc.annotate.room import Room
from imagenetd.qc.annotate.turk.bill import Bill, bill
from imagenetd.qc.annotate.turk.campaign import Campaign
from imagenetd.qc.annotate.turk.pages import export_forms, export_pictures, form_name, question
from imagenetd.qc.annotate.turk.publish import adopt, hit_mark, planned_steps, publish
from imagenetd.qc.annotate.turk.question import MAX_QUESTION_BYTES, answer_text, html_question
from imagenetd.qc.annotate.turk.review import poll, review, worker_name
from imagenetd.qc.annotate.turk.service import Service, TurkError, open_service
from imagenetd.qc.annotate.turk.state import Assignment, read_state
from imagenetd.qc.page_options import write_options
from imagenetd.qc.votes_folder import read_responses
from tests.page_server import CHROMIUM, CHROMIUM_FLAGS
from tests.votes_folder import make_votes_folder, page_options

SHAPES = json.loads((Path(__file__).parent / "recorded" / "mturk.json").read_text())
NOW = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
NUM_PICTURES = 5


def turk_options(root: Path, **changes: Any) -> MturkConfig:
    options = MturkConfig(**yaml.safe_load((root / "conf/qc/mturk/default.yaml").read_text()))
    return replace(options, images_url="https://pictures.example.org/run", **changes)


class Amazon:
    """The service's stub: what is expected is queued, in order."""

    def __init__(self, *, is_production: bool = False) -> None:
        credentials = {"aws_access_key_id": "x", "aws_secret_access_key": "y"}
        self.client = boto3.client("mturk", region_name="us-east-1", **credentials)
        self.stub = Stubber(self.client)
        self.stub.activate()
        self.service = Service(self.client, is_production)

    def gives(self, operation: str, response: dict[str, Any], **expected: Any) -> None:
        self.stub.add_response(operation, response, expected or None)

    def refuses(self, operation: str, code: str, message: str) -> None:
        said = {"TurkErrorCode": code, "Message": message}
        self.stub.add_client_error(operation, "RequestError", message, modeled_fields=said)

    def hits(self, *found: dict[str, Any]) -> None:
        self.gives("list_hits", {"NumResults": len(found), "HITs": list(found)})

    def no_qualification(self) -> None:
        self.gives("list_qualification_types", {"QualificationTypes": []})
        made = SHAPES["QualificationType"] | {"CreationTime": NOW}
        self.gives("create_qualification_type", {"QualificationType": made})

    def balance(self, usd: str = "10000.00") -> None:
        self.gives("get_account_balance", {"AvailableBalance": usd})

    def makes_hit(self, number: int, **expected: Any) -> None:
        asked = dict.fromkeys(SHAPES["CreateHIT arguments"], ANY) | expected
        self.gives("create_hit", {"HIT": hit(number)}, **asked)


def hit(number: int, *, mark: str = "", most: int = 2, expires: datetime.datetime = NOW) -> dict[str, Any]:
    times = {"CreationTime": NOW, "Expiration": expires + datetime.timedelta(days=7)}
    changes = {"HITId": f"HIT{number}", "RequesterAnnotation": mark, "MaxAssignments": most}
    return SHAPES["HIT"] | changes | times


def assignment(
    number: int, hit_id: str, worker: str, answer: str, status: str = "Submitted"
) -> dict[str, Any]:
    times = dict.fromkeys(("AcceptTime", "SubmitTime", "AutoApprovalTime"), NOW)
    changes = {"AssignmentId": f"A{number}", "WorkerId": worker, "HITId": hit_id, "AssignmentStatus": status}
    return SHAPES["Assignment"] | changes | times | {"Answer": answer}


@pytest.fixture
def amazon() -> Iterator[Amazon]:
    amazon = Amazon()
    yield amazon
    amazon.stub.assert_no_pending_responses()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with contextlib.closing(Room(make_votes_folder(tmp_path), timeout_s=600)) as room:
        yield room


@pytest.fixture
def make_campaign(room: Room, amazon: Amazon, root: Path) -> Callable[..., Campaign]:
    def make(**changes: Any) -> Campaign:
        state = read_state(room.folder / "mturk" / "sandbox.json")
        options = turk_options(root, **changes)
        return Campaign(room, options, amazon.service, state, print, lambda: NOW.timestamp())

    return make


def published(make_campaign: Callable[..., Campaign], amazon: Amazon, **changes: Any) -> Campaign:
    """Return a campaign whose two tasks are HIT0 and HIT1."""
    campaign = make_campaign(**changes)
    amazon.hits()
    amazon.balance()
    if campaign.options.shut_out_failed:
        amazon.no_qualification()
    for number in range(2):
        amazon.makes_hit(number, MaxAssignments=2)
    assert publish(campaign, agreed=lambda bill: True) == 2
    return campaign


def sent(asked: str, says: Callable[[int], bool]) -> str:
    """Return the XML that Amazon gives for what the form of a question sends."""
    data = json.loads(asked.split('id="data">')[1].split("</script>")[0])
    answers = [
        {"position": n, "can_recognise": says(n), "can_use": says(n), "seconds": 1.5}
        for n in range(len(data["slots"]))
    ]
    result = json.dumps({"format": 1, "form": data["form"], "task": data["task"], "answers": answers})
    return SHAPES["Answer"].replace("{answers}", escape(result))


def questions_of(campaign: Campaign) -> list[str]:
    return [question(campaign, task) for task in campaign.room.task_set.tasks]


def careful(position: int) -> bool:
    return position != 3


def test_the_bill_is_the_reward_and_the_fee_and_ten_assignments_double_the_fee() -> None:
    reward = Decimal("0.80")
    assert bill(reward, [(9, 9)]) == Bill(9, Decimal("7.20"), Decimal("1.44"))
    assert bill(reward, [(10, 10)]) == Bill(10, Decimal("8.00"), Decimal("3.20"))
    assert bill(Decimal("0.01"), [(3, 3)]).total_usd == Decimal("0.06")  # a cent at least
    assert str(bill(reward, [(2, 2)])) == "2 assignments: 1.60 USD to workers + 0.32 USD fee = 1.92 USD"


def test_every_task_is_published_once(make_campaign: Callable[..., Campaign], amazon: Amazon) -> None:
    campaign = published(make_campaign, amazon)
    assert [hit.hit_id for hit in campaign.state.hits.values()] == ["HIT0", "HIT1"]
    amazon.hits()  # a second command: all is on the record
    assert publish(make_campaign(), agreed=lambda bill: True) == 0


def test_a_hit_is_found_again_when_the_record_was_lost_after_a_kill(
    make_campaign: Callable[..., Campaign], amazon: Amazon
) -> None:
    campaign = make_campaign()
    amazon.hits()
    amazon.balance()
    amazon.no_qualification()
    amazon.makes_hit(0)
    amazon.refuses("create_hit", "AWS.MechanicalTurk.Throttled", "Slow down.")
    with pytest.raises(TurkError, match="refused create_hit"):
        publish(campaign, agreed=lambda bill: True)
    (campaign.state.path).unlink()
    amazon.hits(hit(0, mark=hit_mark(campaign, "task0")), hit(9, mark="somebody else's"))
    assert [step.task_id for step in _planned(make_campaign, amazon)] == ["task1"]


def _planned(make_campaign: Callable[..., Campaign], amazon: Amazon) -> list[Any]:
    campaign = make_campaign()
    adopt(campaign)
    return planned_steps(campaign)


def test_a_request_whose_answer_was_lost_is_not_made_twice(
    make_campaign: Callable[..., Campaign], amazon: Amazon
) -> None:
    campaign = make_campaign(shut_out_failed=False)
    amazon.hits()
    amazon.balance()
    amazon.refuses("create_hit", "AWS.MechanicalTurk.HitAlreadyExists", "This HIT already exists: HIT0")
    amazon.hits(hit(0, mark=hit_mark(campaign, "task0")))
    amazon.makes_hit(1)
    assert publish(campaign, agreed=lambda bill: True) == 2
    assert campaign.state.hits["task0"].hit_id == "HIT0"


def test_the_same_task_has_the_same_request_token_and_services_do_not_share_it(
    room: Room, root: Path
) -> None:
    tokens = []
    for is_production in (False, True, False):
        amazon = Amazon(is_production=is_production)
        asked: list[dict[str, Any]] = []
        amazon.client.meta.events.register(
            "provide-client-params.mturk.CreateHIT",
            lambda params, asked=asked, **kw: asked.append(params),
        )
        state = read_state(room.folder / "mturk" / f"x{len(tokens)}.json")
        campaign = Campaign(room, turk_options(root, shut_out_failed=False), amazon.service, state, print)
        amazon.hits()
        amazon.balance()
        amazon.makes_hit(0)
        amazon.makes_hit(1)
        publish(campaign, agreed=lambda bill: True)
        tokens.append([params["UniqueRequestToken"] for params in asked])
        records = [name["QualificationTypeId"] for name in asked[0]["QualificationRequirements"]]
        assert len(records) == (2 if is_production else 0)
    assert tokens[0] == tokens[2] and set(tokens[0]).isdisjoint(tokens[1])
    assert len(set(tokens[0])) == 2 and max(map(len, tokens[0])) <= 64


def test_nothing_is_published_when_nobody_agrees_or_the_account_is_empty(
    make_campaign: Callable[..., Campaign], amazon: Amazon
) -> None:
    bills: list[Bill] = []
    amazon.hits()
    assert publish(make_campaign(), agreed=lambda bill: bool(bills.append(bill))) == 0
    assert bills == [Bill(4, Decimal("3.20"), Decimal("0.64"))]
    amazon.hits()
    amazon.balance("3.83")
    with pytest.raises(ConfigError, match="holds 3.83 USD, and 3.84 USD are needed"):
        publish(make_campaign(), agreed=lambda bill: True)


def test_answers_come_in_once_under_a_name_that_is_not_amazons(
    make_campaign: Callable[..., Campaign], amazon: Amazon, room: Room
) -> None:
    campaign = published(make_campaign, amazon)
    answer = sent(questions_of(campaign)[0], careful)
    for expected in (1, 0):
        first = {"Assignments": [assignment(1, "HIT0", "AWORKER1", answer)], "NextToken": "more"}
        asked = {"HITId": "HIT0", "AssignmentStatuses": ANY, "MaxResults": 100}
        amazon.gives("list_assignments_for_hit", first, **asked)
        amazon.gives("list_assignments_for_hit", {"Assignments": []}, **asked, NextToken="more")
        amazon.gives("list_assignments_for_hit", {"Assignments": []})
        assert poll(campaign).num_new == expected
    (received,) = read_responses(room.folder, room.task_set)
    assert received.response.worker == worker_name(room, "AWORKER1")
    assert "AWORKER1" not in received.response.worker
    assert received.received_s == NOW.timestamp()
    assert [answer.can_use for answer in received.response.answers] == [
        careful(n) for n in range(NUM_PICTURES)
    ]


def with_answers(campaign: Campaign, amazon: Amazon, *answers: str) -> None:
    found = [assignment(n, "HIT0", f"W{n}", answer) for n, answer in enumerate(answers)]
    amazon.gives("list_assignments_for_hit", {"Assignments": found})
    amazon.gives("list_assignments_for_hit", {"Assignments": []})
    poll(campaign)


def test_who_passes_the_sentinels_is_paid_and_who_fails_is_rejected_and_shut_out(
    make_campaign: Callable[..., Campaign], amazon: Amazon
) -> None:
    campaign = published(make_campaign, amazon)
    asked = questions_of(campaign)[0]
    with_answers(campaign, amazon, sent(asked, careful), sent(asked, lambda n: True))
    amazon.gives("approve_assignment", {}, AssignmentId="A0", RequesterFeedback=ANY)
    shut_out = {"QualificationTypeId": ANY, "WorkerId": "W1", "IntegerValue": 1, "SendNotification": False}
    amazon.gives("associate_qualification_with_worker", {}, **shut_out)
    feedback = "Control pictures were not answered as asked: said yes to an image of another object (1)."
    amazon.gives("reject_assignment", {}, AssignmentId="A1", RequesterFeedback=feedback)
    bills: list[Bill] = []
    judged = review(campaign, agreed=lambda bill: bills.append(bill) is None)
    assert [one.is_rejected for one in judged] == [False, True]
    assert bills == [Bill(1, Decimal("0.80"), Decimal("0.16"))]
    assert review(campaign, agreed=lambda bill: True) == []  # nothing is left to be judged


def test_a_rejected_response_is_replaced_by_one_more_assignment(
    make_campaign: Callable[..., Campaign], amazon: Amazon
) -> None:
    campaign = published(make_campaign, amazon)
    with_answers(campaign, amazon, sent(questions_of(campaign)[0], lambda n: True))
    (step,) = planned_steps(campaign)
    assert (step.task_id, step.num_assignments, step.max_assignments) == ("task0", 1, 3)
    amazon.hits()
    amazon.balance()
    asked = {"HITId": "HIT0", "NumberOfAdditionalAssignments": 1, "UniqueRequestToken": ANY}
    amazon.gives("create_additional_assignments_for_hit", {}, **asked)
    assert publish(campaign, agreed=lambda bill: True) == 1
    assert planned_steps(campaign) == []


def test_a_hit_of_nine_is_never_raised_to_ten(
    make_campaign: Callable[..., Campaign], amazon: Amazon, capsys: pytest.CaptureFixture[str]
) -> None:
    campaign = published(make_campaign, amazon)
    campaign.state.hits["task0"].max_assignments = 9
    for number in range(9):
        campaign.state.assignments[f"A{number}"] = _lost("task0")
    assert planned_steps(campaign) == []
    assert "so that 2 responses stay missing" in capsys.readouterr().out


def _lost(task_id: str) -> Assignment:
    return Assignment(task_id, "W", "Rejected", "unreadable")


def test_an_expired_hit_that_still_waits_is_offered_again(
    make_campaign: Callable[..., Campaign], amazon: Amazon
) -> None:
    campaign = published(make_campaign, amazon)
    campaign.state.hits["task0"].expires_s = NOW.timestamp() - 1
    amazon.hits()
    later = NOW + datetime.timedelta(days=7)
    amazon.gives("update_expiration_for_hit", {}, HITId="HIT0", ExpireAt=later)
    assert publish(campaign, agreed=lambda bill: True) == 0


def test_a_review_that_was_cut_off_goes_on(make_campaign: Callable[..., Campaign], amazon: Amazon) -> None:
    campaign = published(make_campaign, amazon, shut_out_failed=False)
    with_answers(campaign, amazon, sent(questions_of(campaign)[0], careful))
    amazon.refuses("approve_assignment", "AWS.MechanicalTurk.InvalidAssignmentState", "It is Approved.")
    assert len(review(campaign, agreed=lambda bill: True)) == 1
    assert campaign.state.assignments["A0"].status == "Approved"


BAD_ANSWERS = {
    "no XML": "not xml",
    "a declaration": '<!DOCTYPE x [<!ENTITY a "b">]><x/>',
    "another field": SHAPES["Answer"].replace("<QuestionIdentifier>answers", "<QuestionIdentifier>other"),
    "no JSON": SHAPES["Answer"].replace("{answers}", "hello"),
    "forged": SHAPES["Answer"].replace("{answers}", json.dumps({"format": 1, "form": "a.b", "answers": []})),
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_an_answer_that_cannot_be_read_is_told_and_neither_paid_nor_rejected(
    make_campaign: Callable[..., Campaign], amazon: Amazon, case: str
) -> None:
    campaign = published(make_campaign, amazon)
    with_answers(campaign, amazon, BAD_ANSWERS[case])
    assert read_responses(campaign.room.folder, campaign.room.task_set) == []
    assert campaign.state.assignments["A0"].problem != ""
    assert review(campaign, agreed=lambda bill: True) == []


def test_an_answer_to_another_task_is_not_counted(
    make_campaign: Callable[..., Campaign], amazon: Amazon
) -> None:
    campaign = published(make_campaign, amazon)
    with_answers(campaign, amazon, sent(questions_of(campaign)[1], careful))
    assert "answers another task" in campaign.state.assignments["A0"].problem


def test_an_html_question_fits_amazons_limit_and_tells_no_truth(
    make_campaign: Callable[..., Campaign], amazon: Amazon, root: Path
) -> None:
    asked = questions_of(make_campaign())[0]
    assert asked.startswith("<HTMLQuestion") and len(asked.encode()) < MAX_QUESTION_BYTES * 0.6
    data = asked.split('id="data">')[1].split("</script>")[0]
    assert [word for word in ("positive", "negative", "t0-", '"item"') if word in data] == []
    assert "https://workersandbox.mturk.com" in data
    with pytest.raises(ConfigError, match="Use fewer images a task"):
        html_question("x" * MAX_QUESTION_BYTES)


def test_the_end_of_a_cdata_section_in_a_page_does_no_harm() -> None:
    root = ElementTree.fromstring(html_question("a[b[0]]>1 & <p>"))
    assert root[0].text == "a[b[0]]>1 & <p>"


def test_pictures_and_forms_are_exported_under_the_names_that_questions_use(
    make_campaign: Callable[..., Campaign], amazon: Amazon, room: Room, tmp_path: Path
) -> None:
    assert export_pictures(room, tmp_path / "pictures") == 2 * NUM_PICTURES + 2
    data = questions_of(make_campaign())[0].split('id="data">')[1].split("</script>")[0]
    for slot in json.loads(data)["slots"]:
        assert (tmp_path / "pictures" / slot["image"].rpartition("/")[2]).is_file()
    assert export_forms(room, tmp_path / "forms", submit_to="https://workersandbox.mturk.com") == 2
    external = make_campaign()
    external.options.images_url, external.options.forms_url = None, "https://forms.example.org"
    address = questions_of(external)[0].split("<ExternalURL>")[1].split("</ExternalURL>")[0]
    assert (tmp_path / "forms" / address.rpartition("/")[2]).is_file()


@pytest.mark.skipif(not CHROMIUM.is_file(), reason=f"no browser at {CHROMIUM}")
def test_a_form_on_mechanical_turk_sends_its_answers_to_amazon_and_to_nobody_else(
    room: Room, tmp_path: Path
) -> None:
    from playwright.sync_api import expect, sync_playwright

    export_forms(room, tmp_path, submit_to="https://workersandbox.mturk.com")
    text = (tmp_path / form_name(room, room.task_set.tasks[0])).read_text()
    posted: list[tuple[str, str]] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_FLAGS)
        page = browser.new_page()
        page.set_default_timeout(15_000)
        page.route("**/*", lambda route: route.fulfill(body=text, content_type="text/html"))
        page.on("request", lambda one: one.method == "POST" and posted.append((one.url, one.post_data)))
        page.goto("https://forms.example.org/form.html?assignmentId=ASSIGNMENT_ID_NOT_AVAILABLE")
        expect(page.locator("#rest-title")).to_have_text("This is a preview")
        page.goto("https://forms.example.org/form.html?assignmentId=A1&turkSubmitTo=https://evil.example")
        for key in ("Enter", "y", "y", "Enter", "Enter", "n", "n", "Enter", "Enter", "Enter"):
            page.keyboard.press(key)
        for number in range(1, NUM_PICTURES + 1):
            expect(page.locator("#place")).to_have_text(f"Picture {number} of {NUM_PICTURES}")
            for key in ("y", "y", "Enter"):
                page.keyboard.press(key)
        with page.expect_navigation():
            page.keyboard.press("Enter")
        browser.close()
    ((address, body),) = posted
    assert address == "https://workersandbox.mturk.com/mturk/externalSubmit"
    fields = urllib.parse.parse_qs(body)
    assert fields["assignmentId"] == ["A1"]
    result = read_result(room, fields["answers"][0], "the form")
    assert len(response_of_result(room, result, "w", "the form").answers) == NUM_PICTURES


def test_the_answer_of_the_recorded_shape_is_read() -> None:
    assert answer_text(SHAPES["Answer"].replace("{answers}", escape('{"a": "<&>"}'))) == '{"a": "<&>"}'
    with pytest.raises(StoreError, match="too long"):
        answer_text("x" * 300_000)


@pytest.fixture
def votes(room: Room, root: Path) -> Path:
    write_options(room.folder, {"page": page_options(), "mturk": turk_options(root)})
    return room.folder


def test_the_estimate_asks_nobody(votes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["mturk", "estimate", str(votes)])
    assert capsys.readouterr().out == "4 assignments: 3.20 USD to workers + 0.64 USD fee = 3.84 USD\n"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "The bill is 3.84 USD and nobody agreed to it. Add --confirm-usd 3.84"),
        (["--confirm-usd", "3.83"], "The bill is 3.84 USD, above --confirm-usd 3.83"),
        (["--confirm-usd", "much"], "--confirm-usd much is no amount"),
        (["--confirm-usd", "NaN"], "--confirm-usd NaN is no amount"),
    ],
)
def test_production_needs_an_explicit_flag_and_an_amount(
    votes: Path,
    flags: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    amazon = Amazon(is_production=True)
    amazon.hits()
    opened = []
    monkeypatch.setattr(
        "imagenetd.qc.annotate.turk.turk_commands.open_service",
        lambda options, is_production: opened.append(is_production) or amazon.service,
    )
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(SystemExit):
        main(["mturk", "publish", str(votes), "--production", *flags])
    assert message in capsys.readouterr().err
    assert opened == [True]


def test_without_the_flag_it_is_the_sandbox_and_nothing_is_asked(
    votes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened, amazon = [], Amazon()
    amazon.hits()
    amazon.balance()
    amazon.no_qualification()
    amazon.makes_hit(0)
    amazon.makes_hit(1)
    monkeypatch.setattr(
        "imagenetd.qc.annotate.turk.turk_commands.open_service",
        lambda options, is_production: opened.append(is_production) or amazon.service,
    )
    main(["mturk", "publish", str(votes)])
    assert opened == [False]
    assert capsys.readouterr().out.endswith("2 tasks published or raised in the sandbox\n")


def test_the_commands_bring_answers_in_and_say_what_became_of_them(
    votes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    amazon = Amazon()
    monkeypatch.setattr(
        "imagenetd.qc.annotate.turk.turk_commands.open_service", lambda options, is_production: amazon.service
    )
    main(["mturk", "export", str(votes)])
    main(["mturk", "export", str(votes), "--forms", "--out", str(votes / "forms")])
    amazon.hits()
    amazon.balance()
    amazon.no_qualification()
    amazon.makes_hit(0)
    amazon.makes_hit(1)
    main(["mturk", "publish", str(votes)])
    capsys.readouterr()
    form = next((votes / "forms").glob("*.html"))
    answer = sent(form.read_text(), careful)
    hit_of = {"HIT0": [assignment(0, "HIT0", "W0", answer)], "HIT1": [assignment(1, "HIT1", "W1", answer)]}
    for command in ("poll", "review"):
        for found in hit_of.values():
            amazon.gives("list_assignments_for_hit", {"Assignments": found})
        if command == "review":
            amazon.gives("approve_assignment", {})
        main(["mturk", command, str(votes)])
        said = capsys.readouterr().out
        assert "3 responses missing" in said
        assert said.count("to be looked at by hand") == 1  # the answer to the other task
    assert "approve 1, reject 0; 1 assignments: 0.80 USD" in said
    amazon.stub.assert_no_pending_responses()


@pytest.mark.parametrize("is_production", [False, True])
def test_each_service_is_asked_at_its_own_address(root: Path, is_production: bool, monkeypatch: Any) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    service = open_service(turk_options(root), is_production=is_production)
    address = service.client.meta.endpoint_url
    assert ("sandbox" in address) is not is_production
    with pytest.raises(ConfigError, match="gives no access to AWS"):
        open_service(turk_options(root, profile="nobody"), is_production=is_production)
