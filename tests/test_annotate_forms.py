"""Forms that need no server, and Label Studio: what leaves, what comes back, what is refused."""

import contextlib
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagenetd.qc.annotate.commands import main
from imagenetd.qc.annotate.room import Room
from imagenetd.qc.tasks import Response
from imagenetd.qc.votes_folder import read_responses
from tests.page_server import CHROMIUM, CHROMIUM_FLAGS
from tests.votes_folder import careful_response, make_votes_folder, tasks_of

NUM_PICTURES = 5
TRUTH_WORDS = ("positive", "negative", "consistency", "role", '"item"')


@pytest.fixture
def votes(tmp_path: Path) -> Path:
    return make_votes_folder(tmp_path, display={"mug": "</script><script>alert(1)</script>"})


@pytest.fixture
def room(votes: Path) -> Iterator[Room]:
    with contextlib.closing(Room(votes, timeout_s=600)) as room:
        yield room


def responses(votes: Path) -> list[Response]:
    return [one.response for one in read_responses(votes, tasks_of(votes))]


def data_of(form: Path) -> dict[str, Any]:
    text = form.read_text()
    return json.loads(text.split('id="data">')[1].split("</script>")[0])


def result_of(form: Path) -> dict[str, Any]:
    """Return what the form's script would save for a careful worker."""
    data = data_of(form)
    says = [True, True, True, False, True]
    answers = [
        {"position": n, "can_recognise": say, "can_use": say, "seconds": 2.0} for n, say in enumerate(says)
    ]
    return {"format": 1, "form": data["form"], "task": data["task"], "answers": answers}


def written_form(votes: Path, worker: str = "anna") -> Path:
    main(["form", str(votes), worker])
    (form,) = (votes / "forms").glob(f"{worker}-*.html")
    return form


def bring(votes: Path, result: Any) -> Path:
    path = votes / "result.json"
    path.write_text(result if isinstance(result, str) else json.dumps(result))
    return path


def refused(votes: Path, result: Any, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as left:
        main(["import", str(votes), str(bring(votes, result))])
    assert left.value.code == 1
    assert responses(votes) == []
    return capsys.readouterr().err


def test_a_form_holds_everything_and_no_truth(votes: Path) -> None:
    form = written_form(votes)
    text, data = form.read_text(), data_of(form)
    assert [slot["image"][:22] for slot in data["slots"]] == ["data:image/png;base64,"] * NUM_PICTURES
    assert data["slots"][0]["category"] == "</script><script>alert(1)</script>"
    assert "<script>alert" not in text and "://" not in text.replace("https://${", "")
    assert [word for word in TRUTH_WORDS if word in json.dumps(data)] == []


def test_a_result_is_taken_in_once(votes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = bring(votes, result_of(written_form(votes)))
    for said in ("1 response", "known already"):
        main(["import", str(votes), str(result)])
        assert f"{result}: {said}" in capsys.readouterr().out
    (response,) = responses(votes)
    assert (response.worker, response.task_id) == ("anna", "task0")
    assert [answer.can_use for answer in response.answers] == [True, True, True, False, True]


def test_a_task_on_a_form_is_not_given_to_others(votes: Path, room: Room) -> None:
    written_form(votes, "anna"), written_form(votes, "ben")
    taken = {data_of(form)["task"] for form in (votes / "forms").glob("*.html")}
    assert len(taken) == 1  # both workers of the first task
    assert room.desk.take("cleo") == "task1"


def test_the_form_of_an_unfinished_task_is_written_again(votes: Path) -> None:
    assert data_of(written_form(votes))["task"] == data_of(written_form(votes))["task"]
    main(["form", str(votes), "anna", "--tasks", "5"])
    assert len(list((votes / "forms").glob("anna-*.html"))) == 2


def forged(result: dict[str, Any]) -> dict[str, Any]:
    said, signature = result["form"].split(".")
    return result | {"form": f"{said[:-4]}AAAA.{signature}"}


BAD: dict[str, Any] = {
    "forged": forged,
    "no token": lambda r: {key: r[key] for key in ("format", "answers")},
    "token of another type": lambda r: r | {"form": 3},
    "missing answer": lambda r: r | {"answers": r["answers"][:-1]},
    "answer twice": lambda r: r | {"answers": [r["answers"][0], *r["answers"][:-1]]},
    "open question": lambda r: r | {"answers": [{**r["answers"][0], "can_use": None}, *r["answers"][1:]]},
    "no answers": lambda r: r | {"answers": None},
    "answers of another type": lambda r: r | {"answers": [1, 2]},
    "other format": lambda r: r | {"format": 99},
    "no JSON": lambda r: "{",
    "text": lambda r: '"text"',
}


@pytest.mark.parametrize("case", BAD)
def test_a_result_that_is_forged_or_incomplete_is_one_line_and_nothing_is_stored(
    votes: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = BAD[case](result_of(written_form(votes)))
    error = refused(votes, result, capsys)
    assert error.startswith("error: ") and error.count("\n") == 1


def test_a_result_of_another_folder_is_refused(
    votes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_votes_folder(tmp_path / "other")
    assert "was not written from" in refused(votes, result_of(written_form(other)), capsys)


@pytest.mark.skipif(not CHROMIUM.is_file(), reason=f"no browser at {CHROMIUM}")
def test_a_form_opened_from_disk_gives_a_results_file(votes: Path, tmp_path: Path) -> None:
    from playwright.sync_api import expect, sync_playwright

    form = written_form(votes)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_FLAGS)
        page = browser.new_page()
        page.set_default_timeout(15_000)
        page.goto(form.as_uri())
        for key in ("Enter", "y", "y", "Enter", "Enter", "n", "n", "Enter", "Enter", "Enter"):
            page.keyboard.press(key)
        for number in range(1, NUM_PICTURES + 1):
            expect(page.locator("#place")).to_have_text(f"Picture {number} of {NUM_PICTURES}")
            if number == 3:
                page.reload()  # what was answered is kept in this browser
                expect(page.locator("#place")).to_have_text(f"Picture {number} of {NUM_PICTURES}")
            for key in ("n", "n", "Enter") if number == 4 else ("y", "y", "Enter"):
                page.keyboard.press(key)
        with page.expect_download() as download:
            page.keyboard.press("Enter")
        saved = tmp_path / download.value.suggested_filename
        download.value.save_as(saved)
        assert json.loads(page.locator("#result").input_value()) == json.loads(saved.read_text())
        browser.close()
    main(["import", str(votes), str(saved)])
    (response,) = responses(votes)
    assert [answer.can_recognise for answer in response.answers] == [True, True, True, False, True]


# ---- Label Studio ----


def exported(votes: Path, *more: str) -> list[dict[str, Any]]:
    main(["labelstudio", str(votes), *more])
    return json.loads((votes / "labelstudio" / "tasks.json").read_text())


def annotated(rows: list[dict[str, Any]], person: Any, says: Any) -> list[dict[str, Any]]:
    """Return a JSON export of Label Studio, shaped as its task format says."""
    return [
        {
            "id": number,
            "data": row["data"],
            "annotations": [
                {
                    "id": 100 + number,
                    "completed_by": person,
                    "was_cancelled": False,
                    "ground_truth": False,
                    "lead_time": 4.25,
                    "updated_at": "2026-01-01T00:00:00Z",
                    "result": [
                        {
                            "id": f"r{question}",
                            "from_name": question,
                            "to_name": "picture",
                            "type": "choices",
                            "origin": "manual",
                            "value": {"choices": ["yes" if says(number) else "no"]},
                        }
                        for question in ("can_recognise", "can_use")
                    ],
                }
            ],
            "predictions": [],
        }
        for number, row in enumerate(rows)
    ]


def test_label_studio_gets_every_picture_both_questions_and_no_truth(votes: Path) -> None:
    rows = exported(votes)
    assert len(rows) == 2 * NUM_PICTURES
    assert set(rows[0]["data"]) == {"image", "ref", "look_for", "question_1", "question_2"}
    assert len({row["data"]["ref"] for row in rows}) == len(rows)
    assert [word for word in (*TRUTH_WORDS, "task0", "t0-") if word in json.dumps(rows)] == []
    view = ElementTree.parse(votes / "labelstudio" / "labeling_config.xml").getroot()
    choices = {found.get("name"): found for found in view.iter("Choices")}
    assert list(choices) == ["can_recognise", "can_use"]
    assert all(found.get("required") == "true" for found in choices.values())
    assert [choice.get("value") for choice in choices["can_use"]] == ["yes", "no"]


def test_label_studio_can_find_the_pictures_at_an_address(votes: Path) -> None:
    rows = exported(votes, "--images-url", "/data/local-files/?d=pictures/")
    reference = rows[0]["data"]["ref"]
    assert rows[0]["data"]["image"] == f"/data/local-files/?d=pictures/{reference}.png"
    assert (votes / "labelstudio" / "pictures" / f"{reference}.png").is_file()


@pytest.mark.parametrize("person", [7, {"id": 7, "email": "anna@example.org"}])
def test_a_task_that_one_person_finished_in_label_studio_counts(votes: Path, person: Any) -> None:
    export = annotated(exported(votes), person, lambda number: number % NUM_PICTURES != 3)
    main(["import", str(votes), str(bring(votes, export))])
    task = tasks_of(votes).tasks[0]
    assert {one.worker for one in responses(votes)} == {"labelstudio-7"}
    says = [answer.can_use for answer in careful_response(task, "w").answers]
    assert [answer.can_use for answer in responses(votes)[0].answers] == says
    assert responses(votes)[0].answers[0].seconds == 4.25


def test_a_task_that_is_unfinished_in_label_studio_is_told_and_not_counted(
    votes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = annotated(exported(votes), 7, lambda number: True)
    export[1]["annotations"][0]["was_cancelled"] = True
    main(["import", str(votes), str(bring(votes, export))])
    assert "labelstudio-7 has left 1 pictures of task0 open: not counted" in capsys.readouterr().out
    assert [one.task_id for one in responses(votes)] == ["task1"]


def test_the_last_word_of_a_person_counts(votes: Path) -> None:
    export = annotated(exported(votes)[:NUM_PICTURES], 7, lambda number: True)
    later = annotated(exported(votes)[:NUM_PICTURES], 7, lambda number: False)
    for row, again in zip(export, later, strict=True):
        again["annotations"][0]["updated_at"] = "2026-01-02T00:00:00Z"
        row["annotations"] = [*again["annotations"], *row["annotations"]]
    main(["import", str(votes), str(bring(votes, export))])
    assert not any(answer.can_use for answer in responses(votes)[0].answers)


@pytest.mark.parametrize(
    "export",
    [[{"data": {"ref": "unknown"}}], [{"no": "data"}], [1], [[]], [{"data": {"ref": ["x"]}}]],
)
def test_an_export_that_is_none_of_ours_is_one_line(
    votes: Path, export: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(votes, export, capsys).count("\n") == 1
