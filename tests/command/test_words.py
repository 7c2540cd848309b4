"""Words of the command line, and job files."""

from pathlib import Path

import pytest
import typer

from trainyard.command.words import Words, merge, read_job_file, set_by_words

pytestmark = pytest.mark.unit


class TestWords:
    def test_words_are_sorted_by_who_reads_them(self) -> None:
        words = Words.of(
            ["detect", "train", "data=a.yaml", "model=m.pt", "epochs=5", "freeze.layers=backbone"]
        )

        assert words.here == {"data": "a.yaml", "model": "m.pt"}
        assert words.theirs == {"task": "detect", "epochs": "5"}
        assert words.customize == {"freeze": {"layers": "backbone"}}

    def test_project_name_and_exist_ok_choose_the_folder(self) -> None:
        place = Words.of(["project=p", "name=n", "exist_ok=True"]).place()

        assert (place.project, place.name, place.exist_ok) == ("p", "n", True)

    def test_exist_ok_is_true_or_false(self) -> None:
        with pytest.raises(typer.BadParameter, match="exist_ok=perhaps"):
            Words.of(["exist_ok=perhaps"]).place()


class TestPaths:
    @pytest.mark.parametrize(
        ("word", "value"),
        [
            ("a.b=5", 5),
            ("a.b=0.5", 0.5),
            ("a.b=true", True),
            ("a.b=True", True),
            ("a.b=None", None),
            ("a.b=[1,2]", [1, 2]),
            ("a.b=backbone", "backbone"),
            ("a.b=x=y", "x=y"),
        ],
    )
    def test_a_value_is_json_or_text(self, word: str, value: object) -> None:
        assert set_by_words([word]) == {"a": {"b": value}}

    @pytest.mark.parametrize("word", ["a.b", "=5", "a..b=5", ".a=5"])
    def test_a_word_without_a_name_or_a_value_is_refused(self, word: str) -> None:
        with pytest.raises(typer.BadParameter, match="NAME=VALUE"):
            set_by_words([word])

    def test_two_words_that_contradict_each_other_are_refused(self) -> None:
        with pytest.raises(typer.BadParameter, match="another value"):
            set_by_words(["a.b=5", "a.b.c=5"])

    def test_objects_are_merged_and_other_values_replaced(self) -> None:
        one, other = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 4}, "d": {"e": 5}}

        assert merge(one, other) == {"a": {"b": 4, "c": 2}, "d": {"e": 5}}


class TestJobFiles:
    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("job.json", '{"model": "m", "train": {"epochs": 5}}'),
            ("job.toml", 'model = "m"\n[train]\nepochs = 5\n'),
            ("job.yaml", "model: m\ntrain:\n  epochs: 5\n"),
        ],
    )
    def test_a_file_is_read_by_its_suffix(self, tmp_path: Path, name: str, text: str) -> None:
        (tmp_path / name).write_text(text)

        assert read_job_file(tmp_path / name) == {"model": "m", "train": {"epochs": 5}}

    @pytest.mark.parametrize(
        ("name", "text"), [("job.json", "{"), ("job.yaml", "a: ["), ("job.json", "[1]")]
    )
    def test_a_file_without_a_job_is_refused(self, tmp_path: Path, name: str, text: str) -> None:
        (tmp_path / name).write_text(text)

        with pytest.raises(typer.BadParameter, match=name):
            read_job_file(tmp_path / name)
