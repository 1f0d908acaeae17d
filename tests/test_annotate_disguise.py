"""No bytes, sizes, names, times or headers of a picture tell that it is a sentinel or comes twice, on any way out."""

import base64
import contextlib
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from imagenetd.qc.annotate.commands import main
from imagenetd.qc.annotate.disguise import common_size, disguised, filled
from imagenetd.qc.annotate.room import Room
from imagenetd.qc.annotate.turk.pages import export_pictures
from imagenetd.qc.tasks import SlotRole
from tests.test_annotate_app import Browser
from tests.votes_folder import make_votes_folder

NUM_PICTURES = 5
REPEATED, REPEAT = 0, 4


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with contextlib.closing(Room(make_votes_folder(tmp_path, size_px=64), timeout_s=600)) as room:
        slots = room.task_set.tasks[0].slots
        assert (
            slots[REPEAT].role is SlotRole.CONSISTENCY and slots[REPEAT].image_id == slots[REPEATED].image_id
        )
        yield room


def pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def refuse_give_aways(files: list[bytes]) -> None:
    """The files of one task: alike in everything that is not the picture, and no two alike in the picture."""
    assert len(files) == NUM_PICTURES
    assert len({len(file) for file in files}) == 1
    assert len({hashlib.sha256(file).digest() for file in files}) == NUM_PICTURES
    assert len({pixels(file).tobytes() for file in files}) == NUM_PICTURES
    shared = next(n for n, (a, b) in enumerate(zip(files[REPEATED], files[REPEAT], strict=True)) if a != b)
    assert shared < 64  # the head of a PNG; the compressed pixels differ from their beginning


def test_the_page_sends_a_repeat_as_another_file(room: Room) -> None:
    anna = Browser(room, "anna")
    slots = anna.post("/api/task", {}).json()["slots"]
    answers = [anna.client.get(slot["image"]) for slot in slots]
    refuse_give_aways([answer.content for answer in answers])
    headers = [
        {name: value for name, value in answer.headers.items() if name != "date"} for answer in answers
    ]
    assert all(one == headers[0] for one in headers)


def test_a_picture_stays_the_same_file_for_a_worker_who_loads_it_again(room: Room) -> None:
    first = room.picture("task0", 3)
    with contextlib.closing(Room(room.folder, timeout_s=600)) as restarted:
        assert first == room.picture("task0", 3) == restarted.picture("task0", 3)


def test_a_picture_is_encoded_once_and_read_from_disk_afterwards(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [room.picture("task0", place) for place in range(NUM_PICTURES)]
    monkeypatch.setattr("imagenetd.qc.annotate.disguise.disguised", None)  # another encoding would fail
    with contextlib.closing(Room(room.folder, timeout_s=600)) as restarted:
        assert [restarted.picture("task0", place) for place in range(NUM_PICTURES)] == first


def test_kept_pictures_that_are_damaged_or_lost_are_made_anew_and_are_the_same(room: Room) -> None:
    first = [room.picture("task0", place) for place in range(NUM_PICTURES)]
    damaged, lost, *_ = sorted((room.folder / "desk" / "pictures").iterdir())
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    lost.unlink()
    with contextlib.closing(Room(room.folder, timeout_s=600)) as restarted:
        assert [restarted.picture("task0", place) for place in range(NUM_PICTURES)] == first
    assert lost.is_file() and damaged.read_bytes() != bytes(content)


def test_pictures_are_shown_where_none_can_be_kept(room: Room) -> None:
    pictures = room.folder / "desk" / "pictures"
    pictures.rmdir()
    pictures.write_bytes(b"")  # no folder: every write fails, whoever runs this
    assert len({len(room.picture("task0", place)) for place in range(NUM_PICTURES)}) == 1


def test_kept_pictures_are_private_and_their_names_tell_nothing(room: Room) -> None:
    room.picture("task0", 0)
    kept = list((room.folder / "desk" / "pictures").iterdir())
    assert len(kept) == NUM_PICTURES and all(path.stat().st_mode & 0o077 == 0 for path in kept)
    assert {len(path.name) for path in kept} == {len(kept[0].name)} and len(
        {p.stat().st_size for p in kept}
    ) == 1
    kept[0].chmod(0o666)
    with contextlib.closing(Room(room.folder, timeout_s=600)):
        assert kept[0].stat().st_mode & 0o077 == 0


def test_what_is_changed_cannot_be_seen(room: Room) -> None:
    difference = np.abs(pixels(room.picture("task0", REPEATED)) - pixels(room.picture("task0", REPEAT)))
    assert difference.max() <= 2 and 0 < difference.mean() < 0.03


def test_a_form_and_label_studio_hold_a_repeat_as_another_file(room: Room) -> None:
    main(["form", str(room.folder), "anna"])
    (form,) = (room.folder / "forms").glob("*.html")
    data = json.loads(form.read_text().split('id="data">')[1].split("</script>")[0])
    main(["labelstudio", str(room.folder)])
    rows = json.loads((room.folder / "labelstudio" / "tasks.json").read_text())[:NUM_PICTURES]
    for addresses in ([slot["image"] for slot in data["slots"]], [row["data"]["image"] for row in rows]):
        refuse_give_aways([base64.b64decode(address.partition(",")[2]) for address in addresses])


def test_exported_files_have_names_sizes_and_times_that_tell_nothing(room: Room) -> None:
    main(["labelstudio", str(room.folder), "--images-url", "https://pictures.example.org"])
    export_pictures(room, room.folder / "mturk" / "upload")
    for folder, num_more in (("labelstudio/pictures", 0), ("mturk/upload", 2)):
        files = sorted((room.folder / folder).iterdir())
        assert len(files) == 2 * NUM_PICTURES + num_more
        assert {len(path.name) for path in files} == {26}
        assert {path.stat().st_mtime for path in files} == {946_684_800}
        assert len({path.read_bytes() for path in files}) == len(files)


def test_nothing_that_a_file_says_beside_its_pixels_is_kept() -> None:
    said = PngImagePlugin.PngInfo()
    said.add_text("prompt", "a negative sentinel")
    stream = io.BytesIO()
    Image.new("RGB", (9, 7), "teal").save(stream, "PNG", pnginfo=said)
    hidden = disguised(stream.getvalue(), b"0123456789abcdef")
    assert b"tEXt" not in hidden and pixels(hidden).shape == (7, 9, 3)


def test_a_filled_picture_is_still_a_picture() -> None:
    stream = io.BytesIO()
    Image.new("L", (8, 8), 255).save(stream, "JPEG")
    made = [disguised(stream.getvalue(), bytes([n]) * 16) for n in range(2)]
    size = common_size(made)
    assert size % 4096 == 0 and size - max(map(len, made)) >= 12
    full = filled(made[0], size, b"s")
    assert len(full) == size and (pixels(full) == pixels(made[0])).all()
