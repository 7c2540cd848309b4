"""Paths of another machine are matched by their last parts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.datasets.verification.matching import PathIndex, folded, parts_of, split_of, split_of_part

FOLDERS = ["train/images", "valid/images", "data/old/images", "other"]


class TestParts:
    @pytest.mark.parametrize(
        ("path", "parts"),
        [
            ("C:\\Users\\me\\a.jpg", ["Users", "me", "a.jpg"]),
            ("/kaggle/input/set/", ["kaggle", "input", "set"]),
            ("../../x", ["x"]),
            ("${HOME}/x", ["x"]),
            ("~/x", ["x"]),
            ("./a//b/./c", ["a", "b", "c"]),
            ("..", []),
            ("", []),
        ],
    )
    def test_drives_roots_and_dots_are_left_out(self, path: str, parts: list[str]) -> None:
        assert parts_of(path) == parts


class TestPathIndex:
    @pytest.mark.parametrize(
        ("value", "found"),
        [
            ("/home/me/train/images", ["train/images"]),
            ("../valid/images", ["valid/images"]),
            ("../VAL/Images", ["valid/images"]),
            ("old/images", ["data/old/images"]),
            ("D:\\x\\other", ["other"]),
            ("nothing", []),
            ("", []),
        ],
    )
    def test_the_path_with_the_most_equal_last_parts_is_meant(
        self, value: str, found: list[str]
    ) -> None:
        assert PathIndex(FOLDERS).find(value) == found

    def test_candidates_that_stay_equal_are_all_returned(self) -> None:
        assert PathIndex(["a/x.jpg", "b/x.jpg"]).find("/c/x.jpg") == ["a/x.jpg", "b/x.jpg"]

    def test_a_candidate_near_by_is_meant(self) -> None:
        assert PathIndex(["a/i/x.jpg", "b/i/x.jpg"]).find("/c/x.jpg", near="b") == ["b/i/x.jpg"]

    def test_letter_case_tells_candidates_apart(self) -> None:
        assert PathIndex(["A/x.jpg", "a/x.jpg"]).find("q/A/x.jpg") == ["A/x.jpg"]

    def test_the_folder_around_everything_may_be_named(self) -> None:
        index = PathIndex(["images/train", "old/train"], root="dataset/")

        assert index.find("/x/dataset/images/train") == ["images/train"]

    @given(st.lists(st.lists(st.sampled_from("abAB"), min_size=1, max_size=4), min_size=1))
    def test_the_answer_is_that_of_comparing_all_paths(self, held: list[list[str]]) -> None:
        paths = sorted({"/".join(parts) for parts in held})
        wanted = ["b", "a", "B", "A"]

        found = PathIndex(paths).find("/".join(wanted))

        shared = {path: shared_end(path.split("/"), wanted) for path in paths}
        most = max(shared.values())
        assert set(found) <= {path for path, count in shared.items() if count == most}
        assert bool(found) == (most > 0)


def shared_end(held: list[str], wanted: list[str]) -> int:
    count = 0
    for one, other in zip(reversed(held), reversed(wanted), strict=False):
        if folded(one) != folded(other):
            break
        count += 1
    return count


class TestSplits:
    @pytest.mark.parametrize(
        ("name", "split"),
        [
            ("train", "train"),
            ("Training", "train"),
            ("seg_train", "train"),
            ("train2017", "train"),
            ("validate", "val"),
            ("test_set", "test"),
            ("street", None),
            ("train_test", None),
        ],
    )
    def test_a_folder_names_a_split(self, name: str, split: str | None) -> None:
        assert split_of_part(name) == split

    def test_the_last_folder_that_names_a_split_counts(self) -> None:
        assert split_of("test_project/train/images/a.jpg") == "train"
        assert split_of("train.jpg") is None
