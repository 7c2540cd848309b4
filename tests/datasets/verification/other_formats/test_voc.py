from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.datasets.verification.formats.other_formats import voc
from tests.datasets.builders import Files
from tests.datasets.verification.other_formats.conftest import OpenUpload, ReadBy

IMAGE = b"an image that is not decoded here"
CORNERS = "".join(
    f"<x{n}>{x}</x{n}><y{n}>{y}</y{n}>" for n, (x, y) in enumerate([(0, 0), (50, 0), (50, 25)], 1)
)


def an_object(name: str = "disc", box: Sequence[object] = (10, 5, 30, 25), more: str = "") -> str:
    sides = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    inside = "".join(f"<{side}>{value}</{side}>" for side, value in sides)
    return f"<object><name>{name}</name>{more}<bndbox>{inside}</bndbox></object>"


def an_xml(*objects: str, filename: str = "", size: tuple[int, int] | None = (100, 50)) -> bytes:
    sized = (
        "" if size is None else f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    )
    named = f"<filename>{filename}</filename>" if filename else ""
    return f"<annotation>{named}{sized}{''.join(objects)}</annotation>".encode()


def flat(**xml: bytes) -> Files:
    files: Files = {}
    for name, content in xml.items():
        files |= {f"{name}.jpg": IMAGE, f"{name}.xml": content}
    return files


class TestRecognise:
    def test_xml_with_the_root_annotation_is_recognised(self, read_by: ReadBy) -> None:
        assert read_by(voc, flat(a=an_xml(an_object()))).files == ["a.xml"]

    @pytest.mark.parametrize("root", ["annotations", "html", "opml"])
    def test_xml_with_another_root_is_not(self, read_by: ReadBy, root: str) -> None:
        content = f"<?xml version='1.0'?><!-- <annotation> --><{root}></{root}>".encode()

        assert read_by(voc, flat(a=content)).files == []


class TestBoxes:
    def test_a_box_becomes_fractions_of_the_size_in_the_file(self, read_by: ReadBy) -> None:
        reading = read_by(voc, flat(a=an_xml(an_object())))

        assert reading.rows("a.jpg") == [[0, 0.2, 0.3, 0.2, 0.4]]

    @pytest.mark.parametrize("size", [None, (0, 0)])
    def test_a_box_stays_in_pixels_where_the_file_has_no_size(
        self, read_by: ReadBy, size: tuple[int, int] | None
    ) -> None:
        reading = read_by(voc, flat(a=an_xml(an_object(), size=size)))

        assert reading.image("a.jpg").in_pixels
        assert reading.rows("a.jpg") == [[0, 20, 15, 20, 20]]

    def test_classes_are_the_names_of_all_files_in_order(self, read_by: ReadBy) -> None:
        reading = read_by(voc, flat(a=an_xml(an_object("ring")), b=an_xml(an_object("disc"))))

        assert reading.source is not None
        assert reading.source.names == ["disc", "ring"]
        assert [reading.rows(name)[0][0] for name in ("a.jpg", "b.jpg")] == [1, 0]

    def test_difficult_objects_are_kept(self, read_by: ReadBy) -> None:
        shape = an_object(more="<difficult>1</difficult>")

        assert len(read_by(voc, flat(a=an_xml(shape))).rows("a.jpg")) == 1

    @pytest.mark.parametrize(
        "box", [("a", 5, 30, 25), ("nan", 5, 30, 25), ("9" * 400, 5, 30, 25), (30, 5, 30, 25)]
    )
    def test_a_box_without_an_area_is_ignored_and_reported(
        self, read_by: ReadBy, box: Sequence[object]
    ) -> None:
        reading = read_by(voc, flat(a=an_xml(an_object(), an_object(box=box))))

        assert len(reading.rows("a.jpg")) == 1
        assert reading.codes == {"annotation-ignored"}

    def test_a_box_beyond_the_image_is_cut_and_reported(self, read_by: ReadBy) -> None:
        reading = read_by(voc, flat(a=an_xml(an_object(box=(50, 0, 150, 50)))))

        assert reading.rows("a.jpg") == [[0, 0.75, 0.5, 0.5, 1]]
        assert reading.codes == {"annotation-clipped"}

    def test_classes_in_gbk_are_read_as_written(self, read_by: ReadBy) -> None:
        content = "<?xml version='1.0' encoding='GBK'?>" + an_xml(an_object("圆盘")).decode()

        reading = read_by(voc, flat(a=content.encode("gbk")))

        assert reading.source is not None
        assert reading.source.names == ["圆盘"]


class TestPolygons:
    def test_polygons_make_a_dataset_for_segment(self, read_by: ReadBy) -> None:
        shape = an_object(more=f"<polygon>{CORNERS}</polygon>")

        reading = read_by(voc, flat(a=an_xml(shape)))

        assert reading.source is not None
        assert reading.source.task == "segment"
        assert reading.rows("a.jpg") == [[0, 0, 0, 0.5, 0, 0.5, 0.5]]

    def test_a_box_among_polygons_becomes_its_corners(self, read_by: ReadBy) -> None:
        shape = an_object(more=f"<polygon>{CORNERS}</polygon>")

        reading = read_by(voc, flat(a=an_xml(an_object(box=(0, 0, 50, 25)), shape, shape)))

        assert reading.rows("a.jpg")[0] == [0, 0, 0, 0.5, 0, 0.5, 0.5, 0, 0.5]

    def test_the_boxes_are_used_where_the_sender_asks_for_detect(self, read_by: ReadBy) -> None:
        shape = an_object(more=f"<polygon>{CORNERS}</polygon>")

        reading = read_by(voc, flat(a=an_xml(shape)), task="detect")

        assert reading.rows("a.jpg") == [[0, 0.2, 0.3, 0.2, 0.4]]

    def test_turned_boxes_fit_obb(self, read_by: ReadBy) -> None:
        turned = "<robndbox><cx>50</cx><cy>25</cy><w>20</w><h>10</h><angle>0</angle></robndbox>"
        content = an_xml(f"<object><name>disc</name>{turned}</object>")

        reading = read_by(voc, flat(a=content), task="obb")

        assert reading.rows("a.jpg") == [[0, 0.4, 0.4, 0.6, 0.4, 0.6, 0.6, 0.4, 0.6]]

    def test_boxes_do_not_fit_segment(self, read_by: ReadBy) -> None:
        reading = read_by(voc, flat(a=an_xml(an_object())), task="segment")

        assert reading.source is None
        assert reading.codes == {"task-needed"}


class TestImages:
    def test_roboflow_names_the_splits_by_folders(self, read_by: ReadBy) -> None:
        files = {
            f"{split}/{split}.{kind}": content
            for split in ("train", "valid", "test")
            for kind, content in (("jpg", IMAGE), ("xml", an_xml(an_object())))
        }

        assert read_by(voc, files).counts() == {"train": 1, "val": 1, "test": 1}

    def test_lists_in_image_sets_name_the_splits(self, read_by: ReadBy) -> None:
        files: Files = {
            "ImageSets/Main/train.txt": b"a\nb  1\n",
            "ImageSets/Main/val.txt": b"c\r\n",
        }
        for name in "abcd":
            files[f"JPEGImages/{name}.jpg"] = IMAGE
            files[f"Annotations/{name}.xml"] = an_xml(an_object())

        assert read_by(voc, files).counts() == {"train": 2, "val": 1}

    def test_train_and_val_together_are_train_where_test_is_apart(self, read_by: ReadBy) -> None:
        files: Files = {"ImageSets/Main/trainval.txt": b"a\nb\n", "ImageSets/Main/test.txt": b"c\n"}
        for name in "abc":
            files |= {
                f"JPEGImages/{name}.jpg": IMAGE,
                f"Annotations/{name}.xml": an_xml(an_object()),
            }

        assert read_by(voc, files).counts() == {"train": 2, "test": 1}

    def test_the_list_default_of_cvat_names_no_split(self, read_by: ReadBy) -> None:
        files = flat(a=an_xml(an_object())) | {"ImageSets/Main/default.txt": b"a\n"}

        assert read_by(voc, files).counts() == {None: 1}

    def test_an_image_of_the_same_folder_tree_is_meant(self, read_by: ReadBy) -> None:
        files = {
            "train/images/1.jpg": IMAGE,
            "val/images/1.jpg": IMAGE,
            "train/annotations/1.xml": an_xml(an_object("disc")),
            "val/annotations/1.xml": an_xml(an_object("disc"), an_object("disc", (1, 1, 2, 2))),
        }

        reading = read_by(voc, files)

        assert len(reading.rows("val/images/1.jpg")) == 2

    def test_the_filename_counts_where_no_image_has_the_name_of_the_xml(
        self, read_by: ReadBy
    ) -> None:
        content = an_xml(an_object(), filename=r"C:\shots\a.jpg")

        assert read_by(voc, {"images/a.jpg": IMAGE, "xml/0001.xml": content}).counts() == {None: 1}

    def test_an_image_without_xml_is_a_background_beside_annotated_ones_only(
        self, read_by: ReadBy
    ) -> None:
        files = flat(a=an_xml(an_object())) | {"b.jpg": IMAGE, "docs/logo.png": IMAGE}

        reading = read_by(voc, files)

        assert reading.counts() == {None: 2}
        assert reading.image("b.jpg").rows is None

    def test_xml_without_images_asks_for_them(self, read_by: ReadBy) -> None:
        reading = read_by(voc, {"a.xml": an_xml(an_object())})

        assert reading.source is None
        assert "images-missing" in reading.codes

    def test_names_of_the_sender_set_the_order_of_classes(self, read_by: ReadBy) -> None:
        files = flat(a=an_xml(an_object("disc")))

        reading = read_by(voc, files, names=("ring", "disc"))

        assert reading.rows("a.jpg")[0][0] == 1

    def test_names_of_the_sender_that_lack_a_class_are_refused(self, read_by: ReadBy) -> None:
        reading = read_by(voc, flat(a=an_xml(an_object("disc"))), names=("ring",))

        assert reading.source is None
        assert reading.codes == {"names-missing"}


class TestHostileXml:
    @pytest.mark.parametrize(
        "definition",
        [
            '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]>',
            '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>',
            '<!DOCTYPE a SYSTEM "http://127.0.0.1/a.dtd">',
        ],
    )
    def test_a_document_type_definition_is_refused(self, read_by: ReadBy, definition: str) -> None:
        content = definition.encode() + an_xml(an_object("&amp;"))

        reading = read_by(voc, flat(a=content, b=an_xml(an_object())))

        found = next(each for each in reading.findings if each.code == "annotations-invalid")
        assert "DOCTYPE" in found.message

    def test_the_image_of_damaged_xml_is_dropped(self, read_by: ReadBy) -> None:
        reading = read_by(voc, flat(a=an_xml(an_object()), b=an_xml(an_object())[:-20]))

        assert [reading.image(f"{name}.jpg").fault for name in "ab"] == [
            None,
            "annotation-unreadable",
        ]
        assert reading.codes == {"annotation-unreadable"}

    def test_deep_nesting_is_refused(self, read_by: ReadBy) -> None:
        content = b"<annotation>" + b"<object>" * 100_000

        reading = read_by(voc, flat(a=content, b=an_xml(an_object())))

        assert "annotations-invalid" in reading.codes

    @settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(at=st.integers(0, 300), junk=st.binary(max_size=12))
    def test_any_bytes_in_the_file_end_in_a_finding_or_rows(
        self, an_upload: OpenUpload, at: int, junk: bytes
    ) -> None:
        content = an_xml(an_object(more=f"<polygon>{CORNERS}</polygon>"), filename="a.jpg")
        upload = an_upload(flat(a=content[:at] + junk + content[at:]))

        source = voc.read(upload, ["a.xml"])

        assert source is not None or upload.findings.kept()
