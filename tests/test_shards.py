"""Tar shards: readable by ordinary tools, whole after a crash, damage noticed."""

import hashlib
import tarfile
from pathlib import Path

import numpy as np
import pytest

from imagenetd.errors import StoreError
from imagenetd.images.shards import ShardWriter, members, png_size, read_member, sidecars
from imagenetd.images.writer import png

IDS = ["a" * 16, "b" * 16, "c" * 16, "d" * 16, "e" * 16]


def files(image_id: str) -> list[tuple[str, bytes]]:
    return [
        (f"{image_id}.png", image_id.encode() * 50),
        (f"{image_id}.json", b'{"image_id": "%s"}' % image_id.encode()),
    ]


def write(path: Path, image_ids: list[str], *, unit_size: int = 2) -> None:
    with ShardWriter(path) as writer:
        for first in range(0, len(image_ids), unit_size):
            writer.append([file for name in image_ids[first : first + unit_size] for file in files(name)])
        writer.finish()


def test_a_shard_is_an_ordinary_tar_file(tmp_path: Path) -> None:
    write(tmp_path / "s.tar", IDS)
    with tarfile.open(tmp_path / "s.tar") as archive:
        assert archive.getnames() == [name for image_id in IDS for name, _ in files(image_id)]
        stream = archive.extractfile(f"{IDS[3]}.png")
        assert stream is not None
        assert stream.read() == IDS[3].encode() * 50


def test_a_file_is_read_back_at_its_recorded_place(tmp_path: Path) -> None:
    write(tmp_path / "s.tar", IDS)
    member = list(members(tmp_path / "s.tar"))[4]
    data = IDS[2].encode() * 50
    sha256 = hashlib.sha256(data).hexdigest()
    assert read_member(tmp_path / "s.tar", member.offset, member.length, sha256) == data


@pytest.mark.parametrize("torn_at", [0, 100, 511, 512, 600, 2000, 3000, 4000, 5000, 6000, 7000])
def test_after_a_kill_whole_units_stay_and_the_rest_is_made_again(tmp_path: Path, torn_at: int) -> None:
    write(tmp_path / "straight.tar", IDS)
    straight = (tmp_path / "straight.tar").read_bytes()
    (tmp_path / "s.tar.0.tmp").write_bytes(straight[:torn_at])
    with ShardWriter(tmp_path / "s.tar") as writer:
        kept = writer.keep(IDS, unit_size=2)
        assert kept in (0, 2, 4)
        for first in range(kept, len(IDS), 2):
            writer.append([file for name in IDS[first : first + 2] for file in files(name)])
        writer.finish()
    assert (tmp_path / "s.tar").read_bytes() == straight


def test_who_takes_over_goes_on_with_a_copy_so_that_a_writer_that_wakes_up_does_no_harm(
    tmp_path: Path,
) -> None:
    write(tmp_path / "straight.tar", IDS)
    path = tmp_path / "s.tar"
    with ShardWriter(path, writer="1-lost") as sleeper:
        sleeper.append([file for name in IDS[:2] for file in files(name)])
        with ShardWriter(path, writer="2") as writer:
            assert writer.keep(IDS, unit_size=2) == 2
            sleeper.append(
                [file for name in IDS[3:5] for file in files(name)]
            )  # wakes up, and writes something else
            for first in range(2, len(IDS), 2):
                writer.append([file for name in IDS[first : first + 2] for file in files(name)])
            writer.finish()
    assert path.read_bytes() == (tmp_path / "straight.tar").read_bytes()
    assert sorted(other.name for other in tmp_path.iterdir()) == ["s.tar", "straight.tar"]


def test_of_two_writers_that_make_one_shard_the_second_to_end_finds_it_made(tmp_path: Path) -> None:
    write(tmp_path / "straight.tar", IDS)
    path = tmp_path / "s.tar"
    with ShardWriter(path, writer="slow") as slow, ShardWriter(path, writer="fast") as fast:
        for writer in (slow, fast):
            writer.keep(IDS, unit_size=2)
            for first in range(0, len(IDS), 2):
                writer.append([file for name in IDS[first : first + 2] for file in files(name)])
        fast.finish()
        slow.finish()
    assert path.read_bytes() == (tmp_path / "straight.tar").read_bytes()
    assert sorted(other.name for other in tmp_path.iterdir()) == ["s.tar", "straight.tar"]


def test_a_shard_that_vanishes_while_it_is_written_is_told(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "s.tar") as writer:
        writer.append(files("a"))
        writer.partial.unlink()
        with pytest.raises(StoreError, match=r"s\.tar"):
            writer.finish()


def test_a_unit_of_other_images_is_not_kept(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "s.tar") as writer:
        writer.append([file for name in IDS[:2] for file in files(name)])
    with ShardWriter(tmp_path / "s.tar") as writer:
        assert writer.keep(IDS[1:], unit_size=2) == 0


def test_a_changed_byte_is_noticed_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    write(path, IDS)
    member = next(members(path))
    sha256 = hashlib.sha256(IDS[0].encode() * 50).hexdigest()
    damaged = bytearray(path.read_bytes())
    damaged[member.offset + 5] ^= 1
    path.write_bytes(bytes(damaged))
    with pytest.raises(StoreError, match=r"s\.tar is damaged: .* Delete this file"):
        read_member(path, member.offset, member.length, sha256)


def test_a_missing_shard_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"s\.tar is missing"):
        read_member(tmp_path / "s.tar", 0, 1, "")


def test_a_shard_cut_short_is_refused_when_its_manifest_is_rebuilt(tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    write(path, IDS)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(StoreError, match="whole files where 10 are expected"):
        sidecars(path, num_images=5)


def test_every_flipped_bit_of_a_png_is_seen_without_knowing_its_hash() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    whole = png(pixels)
    assert png_size(whole) == (5, 7)
    for place in range(len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            with pytest.raises(ValueError, match=r"no PNG|cut short|checksum|behind its end"):
                png_size(bytes(damaged))


def test_bytes_behind_the_end_of_a_png_are_seen() -> None:
    with pytest.raises(ValueError, match="goes on behind its end"):
        png_size(png(np.zeros((2, 2, 3), np.uint8)) + b"more")
