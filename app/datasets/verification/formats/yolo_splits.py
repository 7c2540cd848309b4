"""Divide the images of a YOLO dataset into splits, as its data.yaml or its folders do."""

import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from app.datasets.archives.legacy_text import decode_text
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import shown
from app.datasets.reports.report import SPLITS, USUAL_SHARES, Split
from app.datasets.verification.formats.yolo_paths import (
    ListedImages,
    ResolvedPath,
    UnresolvedPath,
    YamlPaths,
)
from app.datasets.verification.formats.yolo_yaml import ChosenYaml
from app.datasets.verification.matching import parts_of, split_of
from app.datasets.verification.source import Upload
from app.datasets.verification.tree import SPLIT_FOLDERS

MAX_FOLDERS_SHOWN: Final = 8
MAX_EXAMPLES: Final = 3

SHARED_PAIRS: Final[tuple[tuple[Split, Split], ...]] = (
    ("train", "val"),
    ("val", "test"),
    ("train", "test"),
)
Divided = dict[Split | None, dict[str, str]]
"""By split, the images with their preferred names in the pack; None: in no split."""


Resolved = dict[Split, list[tuple[str, ResolvedPath | UnresolvedPath]]]
"""By split, its paths in the data.yaml and what they lead to."""


@dataclass(frozen=True)
class YoloSplits:
    """Divides the images of an upload; `is_target` tells masks and depth maps from images."""

    upload: Upload
    yaml: ChosenYaml
    is_target: Callable[[str], bool]
    is_labelled: Callable[[Sequence[str]], bool]

    def divide(self) -> Divided | None:
        """Return the images of each split, or None with findings if the data.yaml is wrong."""
        self._note_root()
        given = self._given()
        divided = self._by_yaml(given)
        if divided is None:
            return None
        if not divided:
            divided = self._by_folders()
        elif not ({"train", "val"} <= given.keys()):
            self._add_usual_folders(divided, given)
        self._note_shared(divided)
        return divided

    def _note_root(self) -> None:
        """Report a `path` that is no folder of the archive: it is only a hint."""
        root = (self.yaml.fields.path or "").replace("\\", "/")
        if posixpath.normpath(root) != "." and not self.upload.tree.has_folder(root.strip("/")):
            text = f"path {shown(root)!r} is no folder of the archive and was not needed."
            self.upload.findings.add(Code.YAML_ROOT_IGNORED, text, file=self.yaml.file)

    @cached_property
    def _listed_images(self) -> ListedImages:
        return ListedImages(self.upload.tree)

    def _given(self) -> dict[Split, list[str]]:
        fields = self.yaml.fields
        values: dict[Split, list[str] | None] = {
            "train": fields.train,
            "val": fields.val,
            "test": fields.test,
        }
        return {split: paths for split, paths in values.items() if paths}

    def _by_yaml(self, given: dict[Split, list[str]]) -> Divided | None:
        """Return the images of the paths that lead somewhere, or None if one of them is wrong."""
        if not given or self.yaml.file is None:
            return {}
        paths = YamlPaths(self.upload.tree, self.yaml.file, self.yaml.fields.path)
        results = {split: [(value, paths.find(value)) for value in given[split]] for split in given}
        found: dict[Split, list[ResolvedPath]] = {}
        missing: list[tuple[Split, str, UnresolvedPath]] = []
        for split, of_split in results.items():
            for value, result in of_split:
                if isinstance(result, UnresolvedPath):
                    missing.append((split, value, result))
                else:
                    found.setdefault(split, []).append(result)
        self._note_matched(results)
        divided: Divided = {split: self._images_of(places) for split, places in found.items()}
        is_wrong = [self._report_missing(each, divided) for each in missing]
        if any(is_wrong):
            return None
        return self._as_one_folder(found, divided)

    def _note_matched(self, results: Resolved) -> None:
        matched = [
            f"{shown(value)} is {shown(result.path)}"
            for of_split in results.values()
            for value, result in of_split
            if isinstance(result, ResolvedPath)
            and result.is_matched
            and parts_of(value) != result.path.split("/")
        ]
        if matched:
            text = f"Paths were matched by their last parts: {'; '.join(matched[:5])}."
            self.upload.findings.add(Code.YAML_PATH_MATCHED, text, file=self.yaml.file)

    def _report_missing(self, missing: tuple[Split, str, UnresolvedPath], divided: Divided) -> bool:
        """Add a finding for a path that leads nowhere. Return whether it makes the yaml wrong."""
        split, value, result = missing
        findings, file = self.upload.findings, self.yaml.file
        if result.candidates:
            names = shown(", ".join(result.candidates))
            text = f"{split}: {shown(value)!r} may be one of several folders: {names}."
            findings.add(Code.YAML_PATH, text, file=file)
            return True
        others = self._folders_in_no_split(divided)
        if divided and others and split != "test":
            text = (
                f"{split}: {shown(value)!r} is not in the archive. It has images in:"
                f" {shown(', '.join(others[:MAX_FOLDERS_SHOWN]))}."
            )
            findings.add(Code.YAML_PATH, text, file=file)
            return True
        text = f"{split}: {shown(value)!r} is not in the archive."
        findings.add(Code.SPLIT_FOLDER_MISSING, text, file=file)
        return False

    def _folders_in_no_split(self, divided: Divided) -> list[str]:
        used = {image for images in divided.values() for image in images}
        by_folder: dict[str, list[str]] = {}
        for image in self.upload.tree.images_below(""):
            if image not in used and not self.is_target(image):
                by_folder.setdefault(image.rpartition("/")[0], []).append(image)
        return sorted(folder for folder, images in by_folder.items() if self.is_labelled(images))

    def _images_of(self, places: Sequence[ResolvedPath]) -> dict[str, str]:
        several = len(places) > 1
        found: dict[str, str] = {}
        for place in places:
            if place.is_list:
                images, below = self._listed(place.path), ""
            else:
                images = list(self.upload.tree.images_below(place.path))
                below = "" if several or not place.path else f"{place.path}/"
            for image in images:
                if self.is_target(image):
                    continue
                if image in found:
                    text = "Two folders of one split contain this image; it is used once."
                    self.upload.findings.add(Code.SPLIT_OVERLAP, text, file=image)
                found.setdefault(image, without_images_folders(image[len(below) :]))
        return dict(sorted(found.items()))

    def _listed(self, path: str) -> list[str]:
        decoded = decode_text(self.upload.members.read(path) or b"")
        lines = [] if decoded is None else decoded[0].splitlines()
        images, missing = self._listed_images.find(lines, path)
        if missing:
            examples = shown(", ".join(missing[:MAX_EXAMPLES]))
            text = f"{len(missing)} of its {len(lines)} lines name no image: {examples}."
            self.upload.findings.add(Code.LISTED_IMAGE_MISSING, text, file=path)
        return images

    def _as_one_folder(self, found: dict[Split, list[ResolvedPath]], divided: Divided) -> Divided:
        """Return the images as in no split if train and val are one folder that names no split.

        With `path`, the author trained on that file: the data.yaml is taken at its word.
        """
        train, val = found.get("train"), found.get("val")
        if (
            self.yaml.fields.path is None
            and train
            and train == val
            and not any(split_of(f"{each.path}/") for each in train)
        ):
            return {None: divided["train"]}
        return divided

    def _by_folders(self) -> Divided:
        """Divide by the usual folders, or else by the folders that are named like a split."""
        divided: Divided = {}
        for split in SPLITS:
            folder = self._usual_folder(split)
            if folder is not None:
                divided[split] = self._images_of([ResolvedPath(folder)])
        if divided:
            return divided
        by_folder: dict[str, list[str]] = {}
        for image in self.upload.tree.images_below(""):
            if not self.is_target(image):
                by_folder.setdefault(image.rpartition("/")[0], []).append(image)
        labelled = [images for images in by_folder.values() if self.is_labelled(images)]
        for images in labelled or by_folder.values():
            for image in images:
                of_split = divided.setdefault(split_of(image), {})
                of_split[image] = without_images_folders(image)
        return divided

    def _usual_folder(self, split: Split) -> str | None:
        names = SPLIT_FOLDERS[split]
        folders = [folder for name in names for folder in (f"images/{name}", f"{name}/images")]
        return next(filter(self.upload.tree.has_images, folders), None)

    def _add_usual_folders(self, divided: Divided, given: dict[Split, list[str]]) -> None:
        """Add the splits that the data.yaml leaves out, unless their images are in another one."""
        used = {image for images in divided.values() for image in images}
        for split in SPLITS:
            folder = None if split in given or None in divided else self._usual_folder(split)
            images = {} if folder is None else self._images_of([ResolvedPath(folder)])
            if images and used.isdisjoint(images):
                divided[split] = images

    def _note_shared(self, divided: Divided) -> None:
        """Report images that two splits share; leave out a test split that is another one.

        Where all images are divided again, each counts once.
        """
        if self.upload.options.splits is not None:
            return
        for first, second in SHARED_PAIRS:
            one, other = divided.get(first, {}), divided.get(second, {})
            shared = len(one.keys() & other.keys())
            if not shared:
                continue
            text = f"{shared} images of {second} are in {first}, too: its scores will be too good."
            fixes = [{"splits": USUAL_SHARES}]
            if second == "test" and one.keys() == other.keys():
                text = f"test has the same images as {first}; it is left out."
                del divided["test"]
                fixes = []
            self.upload.findings.add(Code.SPLIT_SAME_FOLDER, text, file=self.yaml.file, fixes=fixes)


def without_images_folders(path: str) -> str:
    """Return the path without folders called `images`."""
    *parents, name = path.split("/")
    return "/".join([*(part for part in parents if part != "images"), name])
