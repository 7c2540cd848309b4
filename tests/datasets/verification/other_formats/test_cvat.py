import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.datasets.verification.formats.other_formats import cvat
from tests.datasets.builders import Files
from tests.datasets.verification.other_formats.conftest import OpenUpload, ReadBy

IMAGE = b"an image that is not decoded here"
BOX = '<box label="disc" xtl="10" ytl="5" xbr="30" ybr="25"/>'
TRIANGLE = '<polygon label="disc" points="0,0;50,0;50,25"/>'
MASK = '<mask label="disc" rle="1, 2" left="0" top="0" width="3" height="1"/>'


def an_image(*shapes: str, name: str = "a.jpg", more: str = "") -> str:
    return f'<image id="0" name="{name}" width="100" height="50" {more}>{"".join(shapes)}</image>'


def an_xml(*images: str, labels: str = "") -> bytes:
    meta = f"<meta><task><labels>{labels}</labels></task></meta>" if labels else ""
    return f"<?xml version='1.0'?><annotations>{meta}{''.join(images)}</annotations>".encode()


def with_images(xml: bytes, *names: str) -> Files:
    return {"annotations.xml": xml, **{f"images/{name}": IMAGE for name in names or ("a.jpg",)}}


class TestCvat:
    def test_boxes_become_fractions(self, read_by: ReadBy) -> None:
        reading = read_by(cvat, with_images(an_xml(an_image(BOX))))

        assert reading.source is not None
        assert reading.source.task == "detect"
        assert reading.rows("images/a.jpg") == [[0, 0.2, 0.3, 0.2, 0.4]]

    def test_classes_are_the_labels_of_the_task_in_their_order(self, read_by: ReadBy) -> None:
        labels = "".join(f"<label><name>{name}</name></label>" for name in ("ring", "disc"))

        reading = read_by(cvat, with_images(an_xml(an_image(BOX), labels=labels)))

        assert reading.source is not None
        assert reading.source.names == ["ring", "disc"]
        assert reading.rows("images/a.jpg")[0][0] == 1

    def test_polygons_make_a_dataset_for_segment(self, read_by: ReadBy) -> None:
        reading = read_by(cvat, with_images(an_xml(an_image(TRIANGLE, TRIANGLE, BOX))))

        assert reading.source is not None
        assert reading.source.task == "segment"
        assert reading.rows("images/a.jpg")[0] == [0, 0, 0, 0.5, 0, 0.5, 0.5]

    def test_turned_boxes_fit_obb(self, read_by: ReadBy) -> None:
        turned = BOX.replace("/>", ' rotation="90"/>')

        reading = read_by(cvat, with_images(an_xml(an_image(turned))), task="obb")

        assert reading.rows("images/a.jpg")[0][1:3] == pytest.approx([0.3, 0.1])

    def test_an_image_without_shapes_is_a_background(self, read_by: ReadBy) -> None:
        xml = an_xml(an_image(BOX), an_image(name="b.jpg"))

        reading = read_by(cvat, with_images(xml, "a.jpg", "b.jpg", "c.jpg"))

        assert reading.counts() == {None: 2}

    def test_subsets_are_splits(self, read_by: ReadBy) -> None:
        xml = an_xml(
            an_image(BOX, more='subset="Train"'),
            an_image(BOX, name="b.jpg", more='subset="Validation"'),
            an_image(BOX, name="c.jpg", more='subset="default"'),
        )

        reading = read_by(cvat, with_images(xml, "Train/a.jpg", "Validation/b.jpg", "c.jpg"))

        assert reading.counts() == {"train": 1, "val": 1, None: 1}

    def test_tags_alone_make_a_classification(self, read_by: ReadBy) -> None:
        xml = an_xml(an_image('<tag label="ring"/>'), an_image('<tag label="disc"/>', name="b.jpg"))

        reading = read_by(cvat, with_images(xml, "a.jpg", "b.jpg"))

        assert reading.source is not None
        assert (reading.source.task, reading.source.names) == ("classify", ["disc", "ring"])
        assert reading.image("images/a.jpg").label == 1

    def test_masks_beside_boxes_are_ignored_and_named(self, read_by: ReadBy) -> None:
        reading = read_by(cvat, with_images(an_xml(an_image(BOX, MASK))))

        assert reading.codes == {"annotation-ignored"}
        assert "1 x mask" in reading.findings[0].message

    def test_masks_alone_are_named_as_not_read(self, read_by: ReadBy) -> None:
        reading = read_by(cvat, with_images(an_xml(an_image(MASK))))

        assert reading.source is None
        assert reading.codes == {"format-unread"}

    def test_tracks_of_a_video_are_named_as_not_read(self, read_by: ReadBy) -> None:
        xml = an_xml('<track id="0" label="disc"><box frame="0"/></track>')

        reading = read_by(cvat, with_images(xml))

        assert reading.source is None
        assert "CVAT for video" in reading.findings[0].message

    def test_annotations_without_images_ask_for_them(self, read_by: ReadBy) -> None:
        reading = read_by(cvat, {"annotations.xml": an_xml(an_image(BOX))})

        assert reading.source is None
        assert "images-missing" in reading.codes

    def test_an_entity_bomb_is_refused(self, read_by: ReadBy) -> None:
        bomb = '<!DOCTYPE a [<!ENTITY b "bb">]><annotations><image name="&b;"/></annotations>'

        reading = read_by(cvat, with_images(bomb.encode()))

        assert reading.source is None
        assert "DOCTYPE" in reading.findings[0].message

    def test_cut_xml_names_the_line(self, read_by: ReadBy) -> None:
        reading = read_by(cvat, with_images(an_xml("\n", an_image(BOX))[:-30]))

        assert reading.source is None
        assert [(each.code, each.line) for each in reading.findings] == [("annotations-invalid", 2)]

    @settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(at=st.integers(60, 300), junk=st.text(max_size=8))
    def test_any_text_in_the_file_ends_in_a_finding_or_a_source(
        self, an_upload: OpenUpload, at: int, junk: str
    ) -> None:
        xml = an_xml(an_image(BOX, TRIANGLE, MASK)).decode()
        upload = an_upload(with_images((xml[:at] + junk + xml[at:]).encode()))

        source = cvat.read(upload, ["annotations.xml"])

        assert source is not None or upload.findings.kept()
