"""Seals: every byte counts, other readers do not mind them."""

import io
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imagenetd.errors import DamagedError, StoreError
from imagenetd.store import seals
from imagenetd.store.folders import read_sealed_record, read_stage_file
from imagenetd.store.seals import (
    BrokenSealError,
    check_parquet,
    open_bytes,
    open_record,
    seal_bytes,
    seal_parquet,
    seal_record,
)


def plain_parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"image_id": ["a", "b"], "right": [True, False]}), sink)
    return sink.getvalue()


def flips(data: bytes) -> list[bytes]:
    made = []
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << (place % 8)
        made.append(bytes(changed))
    return made


def test_a_sealed_parquet_file_is_an_ordinary_one_for_other_readers() -> None:
    sealed = seal_parquet(plain_parquet())
    assert len(sealed) == len(plain_parquet()) + 24
    assert pd.read_parquet(io.BytesIO(sealed)).to_dict("list") == {
        "image_id": ["a", "b"],
        "right": [True, False],
    }


def test_a_change_of_any_byte_of_a_parquet_file_is_seen() -> None:
    for changed in flips(seal_parquet(plain_parquet())):
        with pytest.raises(BrokenSealError):
            check_parquet(changed)


def test_every_length_to_which_a_parquet_file_is_cut_is_seen() -> None:
    sealed = seal_parquet(plain_parquet())
    for length in range(len(sealed)):
        with pytest.raises(BrokenSealError):
            check_parquet(sealed[:length])


def test_a_parquet_file_of_another_program_has_no_seal() -> None:
    with pytest.raises(BrokenSealError, match="no checksum"):
        check_parquet(plain_parquet())


def test_a_change_of_any_byte_of_a_cache_is_seen() -> None:
    assert open_bytes(seal_bytes(b"features")) == b"features"
    for changed in flips(seal_bytes(b"features")):
        with pytest.raises(BrokenSealError):
            open_bytes(changed)


def test_a_record_with_another_value_or_without_a_field_is_seen() -> None:
    stored = seal_record({"num_mined": 7, "share": 0.1, "names": ["s0"], "nothing": None})
    assert open_record(json.loads(json.dumps(stored))) == {
        "num_mined": 7,
        "share": 0.1,
        "names": ["s0"],
        "nothing": None,
    }
    for changed in (
        stored | {"num_mined": 8},
        {k: v for k, v in stored.items() if k != "share"},
        stored | {"x": 1},
    ):
        with pytest.raises(BrokenSealError):
            open_record(changed)


def test_a_record_of_a_newer_version_says_so_and_is_not_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "stage.json"
    later = {"num_mined": 7, "format": 2}
    for seal in ({"seal": seals._record_hash(later)}, {"seal": "sealed in another way"}, {}):
        path.write_text(json.dumps({**later, **seal}))
        for read in (read_stage_file, read_sealed_record):
            with pytest.raises(StoreError) as caught:
                read(path)
            assert not isinstance(caught.value, DamagedError)
            assert (
                "was written by a newer imagenetd (it is of format 2, and this version of imagenetd reads 1"
                in str(caught.value)
            )
            assert "paths.output_dir" in str(caught.value)
