"""`python -m imagenetd.images`: what is damaged is found and made anew; a slice becomes ordinary files."""

import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from imagenetd.config.schema import StageName
from imagenetd.errors import ConfigError, StoreError
from imagenetd.images.__main__ import main
from imagenetd.store.folders import write_table_atomic
from tests.test_pipeline import config, run

GENERATED = [StageName.prompts, StageName.generate]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    return Path(run(config(folder, stages=GENERATED)).folder)


@pytest.fixture
def pool(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished.parent.parent, tmp_path / "runs")) / "pools" / finished.name


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(bytes(data))


def test_a_whole_pool_is_said_to_be_whole(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["verify", str(finished), "--threads", "2"])
    assert capsys.readouterr().out.startswith(
        "72 images in 5 shards: each id once, every hash right, every image decodes (finished; "
    )


def test_damage_is_found_deleted_and_made_anew(pool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shard = pool / "shards" / "shard-000001.tar"
    whole = shard.read_bytes()
    flip(shard, 900)
    with pytest.raises(SystemExit):
        main(["verify", str(pool)])
    shown = capsys.readouterr()
    assert "shard-000001.tar: " in shown.out and "does not have its recorded hash" in shown.out
    assert "1 shards of" in shown.err and "--delete-damaged" in shown.err
    with pytest.raises(SystemExit):
        main(["verify", str(pool), "--delete-damaged"])
    assert not shard.exists()
    assert "Run the command that began it" in capsys.readouterr().err
    run(config(pool.parent.parent, stages=GENERATED))
    assert shard.read_bytes() == whole
    main(["verify", str(pool)])


def test_a_lost_shard_and_a_cut_one_are_found(pool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pool / "shards" / "shard-000000.tar").unlink()
    cut = pool / "shards" / "shard-000002.tar"
    cut.write_bytes(cut.read_bytes()[:5000])
    with pytest.raises(SystemExit):
        main(["verify", str(pool)])
    shown = capsys.readouterr().out
    assert "shard-000000.tar or part-000000.parquet is missing" in shown
    assert "is cut short" in shown and "more" in shown


def test_a_slice_becomes_files_that_can_be_adopted_again(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "files"
    main(["unpack", str(finished), str(out), "--where", "kind=texture", "category=mug", "--limit", "4"])
    table = pd.read_csv(out / "metadata.csv", keep_default_na=False)
    assert list(table.columns[:4]) == ["file", "category", "kind", "nuisance"] and len(table) == 4
    assert set(table["category"]) == {"mug"} and set(table["kind"]) == {"texture"}
    with Image.open(out / table["file"][0]) as image:
        assert image.size == (64, 64)
    options = ["generator=folder", f"generator.root={out}", f"generator.metadata={out / 'metadata.csv'}"]
    made = config(tmp_path / "runs", stages=GENERATED)
    made.generator = {
        "_target_": "imagenetd.images.generators.folder.FolderGenerator",
        **dict(option.split(".", 1)[1].split("=") for option in options[1:]),
        "unit_size": 2,
    }
    adopted = pd.read_parquet(Path(run(made).folder) / "manifest.parquet")
    assert adopted["sha256"].tolist() == table["sha256"].tolist()
    assert adopted["seed_index"].tolist() == [0, 1, 2, 3]


def test_a_file_that_is_not_the_one_of_the_metadata_is_refused(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "files"
    main(["unpack", str(finished), str(out), "--limit", "2"])
    files = sorted(out.rglob("*.png"))
    shutil.copyfile(files[0], files[1])
    made = config(tmp_path / "runs", stages=GENERATED)
    made.generator = {
        "_target_": "imagenetd.images.generators.folder.FolderGenerator",
        "root": str(out),
        "metadata": str(out / "metadata.csv"),
        "unit_size": 2,
    }
    with pytest.raises(StoreError, match="its sha256 is another"):
        run(made)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["unpack", "POOL", "OUT", "--where", "colour=red"], "colour is not a column of the manifest"),
        (["unpack", "POOL", "OUT", "--where", "category=teapot"], "No image has category=teapot"),
        (["unpack", "POOL", "OUT", "--limit", "0"], "--limit=0 must be 1 or more"),
        (["verify", "POOL", "--threads", "0"], "--threads=0 must be 1 or more"),
        (["verify", "POOL/none"], "is no folder"),
        (["unpack", "POOL/shards", "OUT"], "is no finished pool"),
    ],
)
def test_a_mistake_is_one_line(
    finished: Path, tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spelt = [
        argument.replace("POOL", str(finished)).replace("OUT", str(tmp_path / "o")) for argument in arguments
    ]
    with pytest.raises(SystemExit):
        main(spelt)
    shown = capsys.readouterr().err
    assert message in shown and shown.count("\n") == 1


def test_an_unfinished_pool_can_be_checked(pool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("manifest/part-000003.parquet", "stage.json", "manifest.parquet"):
        (pool / name).unlink()
    main(["verify", str(pool)])
    assert "1 shards are still to be made" in capsys.readouterr().out


def test_an_id_that_stands_twice_is_found(pool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    part = pool / "manifest" / "part-000001.parquet"
    table = pd.read_parquet(part)
    table["image_id"] = pd.read_parquet(pool / "manifest" / "part-000000.parquet")["image_id"][0]
    write_table_atomic(part, pa.Table.from_pandas(table, preserve_index=False))
    with pytest.raises(SystemExit):
        main(["verify", str(pool)])
    assert "more than once" in capsys.readouterr().err


def test_a_pool_without_any_image_takes_another_unit_size_and_one_with_images_says_that_it_does_not(
    pool: Path,
) -> None:
    outcome = run(config(pool.parent.parent, "generator.unit_size=4", stages=GENERATED))
    assert outcome.results[1].is_skipped
    (pool / "shards" / "shard-000001.tar").unlink()
    outcome = run(config(pool.parent.parent, "generator.unit_size=4", stages=GENERATED))
    assert outcome.results[1].note.endswith("in units of 16 images, as it was begun")
    shutil.rmtree(pool / "shards")
    shutil.rmtree(pool / "manifest")
    (pool / "stage.json").unlink()
    outcome = run(config(pool.parent.parent, "generator.unit_size=4", stages=GENERATED))
    assert "as it was begun" not in outcome.results[1].note
    with pytest.raises(ConfigError, match="unit_size"):
        run(config(pool.parent.parent, "generator.unit_size=0", stages=GENERATED))
