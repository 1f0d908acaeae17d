"""docs/adding.md followed to the letter: each file that it shows is written into an empty folder, its command run."""

import importlib
import inspect
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_object
from omegaconf import OmegaConf

from imagenetd.config.schema import CONF_DIR, build, register
from imagenetd.images.generators.generator import Generator, noise_seed
from imagenetd.pipeline import Outcome, run_pipeline
from imagenetd.records import Prompt
from imagenetd.reports.report_set import build_reports

register()
PAGE = CONF_DIR.parent / "docs" / "adding.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
FILES = {
    found[1]: text
    for language, text in BLOCKS
    if language in ("yaml", "python") and (found := re.match(r"# ((?:conf|my_package)/[\w/]+\.\w+)", text))
}
COMMANDS = [line for language, text in BLOCKS if language == "bash" for line in text.splitlines()]


class Place:
    """A folder with the files of the page, and what its command has made there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name, text in FILES.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def composed(self, *overrides: str) -> Any:
        searched = f"hydra.searchpath=[file://{self.root / 'conf'}]"
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            return compose("config", overrides=[searched, *overrides])

    def run(self, command: str) -> Outcome:
        program, script, *overrides = shlex.split(command)
        assert (program, script) == ("python", "run.py")
        settings = self.composed(
            *overrides, "logger=none", "name=new", f"paths.output_dir={self.root / 'runs'}"
        )
        plain: Any = OmegaConf.to_container(settings, resolve=True, enum_to_str=True)
        config: Any = OmegaConf.to_object(settings)
        return run_pipeline(config, plain_config=plain)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = Place(tmp_path_factory.mktemp("newcomer"))
    sys.path.insert(0, str(made.root))
    importlib.invalidate_caches()
    yield made
    sys.path.remove(str(made.root))
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_package"]:
        del sys.modules[name]


def test_every_block_of_the_page_is_a_file_or_a_command() -> None:
    assert len(FILES) + sum(language == "bash" for language, _ in BLOCKS) == len(BLOCKS)
    assert {"my_package/generator.py", "my_package/classifier.py", "my_package/report.py"} <= set(FILES)


def test_a_yaml_of_the_page_opens_with_a_sentence_and_names_every_argument(place: Place) -> None:
    for name in FILES:
        if name.startswith("conf/"):
            _, group, choice = Path(name).with_suffix("").parts
            first = FILES[name].splitlines()[0]
            assert re.fullmatch(r"# \S+: .+\.", first) or group == "surrogates", first
            spec: Any = OmegaConf.to_container(place.composed(f"{group}={choice}")[group], resolve=True)
            for entry in [spec] if "_target_" in spec else spec.values():
                factory = get_object(entry["_target_"])
                assert set(entry) - {"_target_"} == set(inspect.signature(factory).parameters)
                assert build(entry, option=group) is not None


def test_the_command_of_the_page_runs_and_shows_the_newcomers_beside_the_tables_of_the_run(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    (command,) = COMMANDS
    folder = place.run(command).folder
    found = json.loads((folder / "summary.json").read_text())
    table = pd.read_csv(folder / "tables" / "sure_and_wrong" / "counts.csv")
    assert table["set"].tolist() == ["pool"] and table["num_images"][0] == found["images"] > 20
    assert found["reports"]["sure_and_wrong"]["num_wrong"] == table["num_wrong"].sum()
    assert (folder / "tables" / "overall.csv").is_file()
    shown = capsys.readouterr().out
    assert "mean_colour" in shown and "is wrong and sure on" in shown and "accuracy %" in shown


def test_the_generator_of_the_page_draws_each_row_alone_and_the_same_again(place: Place) -> None:
    made: Generator = build(
        OmegaConf.to_container(place.composed("generator=stripes").generator, resolve=True),
        option="generator",
    )
    rows = [
        Prompt(
            index=index,
            text=f"a {word}",
            template_version="v1",
            category="mug",
            kind="texture",
            nuisance=word,
            seed=0,
            seed_index=0,
        )
        for index, word in enumerate(("wood", "striped", "glass"))
    ]
    seeds = [noise_seed("key", row) for row in rows]
    together = [picture.pixels for picture in made.generate(rows, seeds)]
    alone = [made.generate([row], [seed])[0].pixels for row, seed in zip(rows, seeds, strict=True)]
    for one, other in zip(together, alone, strict=True):
        assert (one.shape, str(one.dtype)) == ((64, 64, 3), "uint8") and (one == other).all()


def test_a_report_alone_leaves_the_tables_of_the_run(place: Place) -> None:
    chosen = build_reports(OmegaConf.to_container(place.composed("report=mine").report, resolve=True))
    assert chosen.tables is not None and list(chosen.reports) == ["sure_and_wrong"]
