"""Files of a run that a disk has damaged, or that are another's: seen, named, and made anew where that is safe."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from imagenetd.config.schema import StageName
from imagenetd.errors import ConfigError, DamagedError, StoreError
from imagenetd.images.pool import part_name, read_pool
from imagenetd.pipeline import Outcome
from imagenetd.reports.run_folder import read_summary
from imagenetd.stages.gathering import BASELINE_TABLE, read_baseline
from imagenetd.stages.run import Run
from imagenetd.stages.setup import make_setup
from tests.damaged import kinds, unseen_flips
from tests.stored_logits import read_logits
from tests.test_pipeline import config, run, summary

FLIPS = 25


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    folder = tmp_path_factory.mktemp("straight")
    return folder, run(config(folder))


@pytest.fixture
def runs(straight: tuple[Path, Outcome], tmp_path: Path) -> Path:
    return Path(shutil.copytree(straight[0], tmp_path / "runs"))


def job_of(runs: Path) -> Run:
    return Run(make_setup(config(runs)))


def flip(path: Path, place: int = -1, *, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[place if place >= 0 else len(data) // 2] ^= 1 << bit
    path.write_bytes(data)


def without_seal(path: Path) -> None:
    """Write a Parquet file or a record again as another program would."""
    if path.suffix == ".parquet":
        pq.write_table(pq.read_table(path), path, compression="zstd")
    else:
        content = json.loads(path.read_text())
        path.write_text(json.dumps({name: value for name, value in content.items() if name != "seal"}))


def numbers(outcome: Outcome) -> dict[str, object]:
    found = summary(outcome)
    return {name: found[name] for name in ("num_images", "models", "targets", "mined", "accepted", "regimes")}


def test_no_flipped_bit_of_any_kind_of_file_passes_unseen(runs: Path) -> None:
    found = kinds(job_of(runs))
    assert len(found) == 20
    assert {kind.name: unseen_flips(kind, num_flips=FLIPS, seed=1) for kind in found} == {
        kind.name: [] for kind in found
    }


REMADE = {
    "predictions/*/s0-*/part-000000.parquet": ("predict", "part-000000.parquet damaged"),
    "mined/*/failures.parquet": ("mine", "failures.parquet was damaged or lost: made anew"),
    "qc/*/decisions.parquet": ("qc", "decisions.parquet was damaged or lost: made anew"),
    "scores/*/per_image.parquet": ("evaluate", "per_image.parquet was damaged or lost: made anew"),
    "prompts/*/prompts.parquet": ("prompts", "prompts.parquet was damaged or lost: made anew"),
    "pools/*/manifest.parquet": ("generate", "manifest.parquet was damaged or lost: made anew"),
}


@pytest.fixture(scope="module")
def mended(
    straight: tuple[Path, Outcome], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, Outcome]]:
    """A copy of the run in which one file of each kind is damaged, after the next start."""
    folder = Path(shutil.copytree(straight[0], tmp_path_factory.mktemp("mended") / "runs"))
    for pattern in REMADE:
        flip(next(folder.glob(pattern)))
    yield folder, run(config(folder))


@pytest.mark.parametrize("pattern", REMADE)
def test_a_damaged_result_is_named_and_made_anew(mended: tuple[Path, Outcome], pattern: str) -> None:
    stage, words = REMADE[pattern]
    (result,) = (result for result in mended[1].results if result.stage == stage)
    assert words in result.note and not result.is_skipped


def test_after_damage_the_numbers_are_those_of_the_straight_run(
    straight: tuple[Path, Outcome], mended: tuple[Path, Outcome]
) -> None:
    assert numbers(mended[1]) == numbers(straight[1])


def test_a_part_of_another_model_with_the_same_images_is_refused_and_predicted_anew(
    runs: Path, straight: tuple[Path, Outcome]
) -> None:
    job = job_of(runs)
    own, other = job.setup.folders["s0"].path, job.setup.folders["s1"].path
    shutil.copy(other / part_name(0), own / part_name(0))
    with pytest.raises(DamagedError, match="not the file that its stage has written"):
        read_logits(own, job.pool)
    outcome = run(config(runs))
    assert "damaged or of another model or pool, so predicted anew: s0" in outcome.results[2].note
    assert numbers(outcome) == numbers(straight[1])


def test_a_part_of_another_model_is_seen_before_the_record_of_its_stage_stands(runs: Path) -> None:
    job = job_of(runs)
    own, other = job.setup.folders["s0"].path, job.setup.folders["s1"].path
    shutil.copy(other / part_name(0), own / part_name(0))
    (own / "stage.json").unlink()
    run(config(runs))
    assert not np.array_equal(read_logits(own, job.pool)[:4], read_logits(other, job.pool)[:4])


def test_a_folder_of_predictions_with_another_models_record_is_refused(runs: Path) -> None:
    job = job_of(runs)
    own, other = job.setup.folders["s0"].path, job.setup.folders["s1"].path
    shutil.copy(other / "stage.json", own / "stage.json")
    with pytest.raises(StoreError, match=r"holds stage predict s1 with key .* Name another folder"):
        run(config(runs))


@pytest.mark.parametrize("name", ["stage.json", "layout.json"])
def test_a_record_of_a_pool_without_a_seal_is_named(runs: Path, name: str) -> None:
    (pool,) = (runs / "pools").iterdir()
    without_seal(pool / name)
    for read in (lambda: read_pool(pool, pool.name), lambda: run(config(runs))):
        with pytest.raises(
            DamagedError, match=rf"{name} is damaged \(it has no checksum\)\. Delete it and run"
        ):
            read()


def test_a_part_of_a_manifest_without_a_seal_is_named_and_made_anew_from_its_shard(
    runs: Path, straight: tuple[Path, Outcome]
) -> None:
    (pool,) = (runs / "pools").iterdir()
    shards = {path: path.read_bytes() for path in pool.glob("shards/*.tar")}
    without_seal(pool / "manifest" / part_name(0))
    (pool / "manifest.parquet").unlink()
    outcome = run(config(runs))
    assert "part-000000.parquet was damaged: made anew" in outcome.results[1].note
    assert {path: path.read_bytes() for path in shards} == shards
    assert numbers(outcome) == numbers(straight[1])


def test_a_damaged_image_is_seen_before_a_lost_manifest_records_its_hash(runs: Path) -> None:
    (pool,) = (runs / "pools").iterdir()
    for name in ("manifest.parquet", f"manifest/{part_name(0)}"):
        (pool / name).unlink()
    flip(pool / "shards" / "shard-000000.tar", 900)  # in the pixels of the first image
    with pytest.raises(DamagedError, match=r"shard-000000\.tar is damaged: .*png has a wrong checksum"):
        run(config(runs))


def test_a_shard_that_was_cut_short_is_made_anew(runs: Path, straight: tuple[Path, Outcome]) -> None:
    shard = next(runs.glob("pools/*/shards/shard-000001.tar"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:5000])
    outcome = run(config(runs))
    assert "shards/shard-000001.tar was damaged or lost: made anew" in outcome.results[1].note
    assert shard.read_bytes() == whole
    assert numbers(outcome) == numbers(straight[1])


DAMAGE = {
    "wrong bytes": b"\xff\xfe\x00{",
    "an empty file": b"",
    "no mapping": b"[1, 2]",
    "a number": b"7",
    "deep nesting": b"[" * 100_000,
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize(
    "pattern",
    ["pools/*/stage.json", "pools/*/layout.json", "mined/*/stage.json", "predictions/*/s0-*/stage.json"],
)
def test_a_damaged_record_is_one_line(straight: tuple[Path, Outcome], pattern: str, damage: str) -> None:
    path = next(straight[0].glob(pattern))
    whole = path.read_bytes()
    path.write_bytes(DAMAGE[damage])
    try:
        with pytest.raises(StoreError, match=rf"{path.name} is damaged .* Delete it and run again") as caught:
            run(config(straight[0]))
    finally:
        path.write_bytes(whole)
    assert "\n" not in str(caught.value)


def test_a_record_that_lost_a_field_is_one_line(runs: Path) -> None:
    path = next(runs.glob("mined/*/stage.json"))
    content = json.loads(path.read_text())
    del content["num_mined"]
    path.write_text(json.dumps(content))
    with pytest.raises(StoreError, match="fields do not have the checksum"):
        run(config(runs))


def test_a_folder_in_the_place_of_a_record_is_one_line(runs: Path) -> None:
    path = next(runs.glob("mined/*/stage.json"))
    path.unlink()
    path.mkdir()
    with pytest.raises(
        StoreError, match=r"Cannot read .*stage\.json: a folder stands where a file is needed"
    ):
        run(config(runs))


def test_a_stage_whose_file_was_deleted_is_not_done(runs: Path) -> None:
    next(runs.glob("scores/*/regimes.parquet")).unlink()
    made = config(runs)
    made.stages = [StageName.report]
    with pytest.raises(ConfigError, match="Add evaluate to stages"):
        run(made)


def test_a_damaged_summary_is_not_compared(runs: Path) -> None:
    path = next(runs.glob("test-*/summary.json"))
    path.write_text(path.read_text().replace('"mined": ', '"mined": 1', 1))
    with pytest.raises(StoreError, match=r"summary\.json is damaged"):
        read_summary(path.parent)


def test_a_damaged_table_of_a_baseline_is_refused(runs: Path) -> None:
    (run_dir,) = runs.glob("test-*")
    assert len(read_baseline(run_dir)) > 0
    flip(run_dir / BASELINE_TABLE)
    with pytest.raises(DamagedError, match=r"per_category\.csv is not as its run wrote it"):
        read_baseline(run_dir)
