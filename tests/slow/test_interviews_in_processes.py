"""Questions that depend on another model's predictions, over several processes."""

from pathlib import Path

import pytest

from tests.test_interviews import answers, asked
from tests.test_pipeline import config, run, summary

pytestmark = pytest.mark.slow


def test_two_processes_ask_the_same_questions_and_report_the_same_coverage(tmp_path: Path) -> None:
    found = {}
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        made = config(folder, f"trainer.devices={devices}", "store.images_per_shard=16", target=asked())
        outcome = run(made)
        table = answers(folder).drop_columns(["seconds"]).to_pylist()
        found[devices] = table, summary(outcome)["reports"]["coverage"], summary(outcome)["models"]
    assert len(found[1][0]) == 72
    assert found[1] == found[2]
