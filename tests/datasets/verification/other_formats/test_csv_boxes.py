import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.datasets.verification.formats.other_formats import csv_boxes
from tests.datasets.builders import Files
from tests.datasets.verification.other_formats.conftest import OpenUpload, ReadBy

IMAGE = b"an image that is not decoded here"
ROBOFLOW = "filename,width,height,class,xmin,ymin,xmax,ymax\n"
MAKESENSE = """label_name,bbox_x,bbox_y,bbox_width,bbox_height,image_name,image_width,image_height
disc,10,5,20,20,a.jpg,100,50
"""
ROW = "a.jpg,100,50,disc,10,5,30,25\n"


def with_images(text: str, *names: str, file: str = "_annotations.csv") -> Files:
    return {file: text.encode(), **dict.fromkeys(names or ("a.jpg",), IMAGE)}


class TestCsvBoxes:
    @pytest.mark.parametrize(
        "text",
        [
            ROBOFLOW + ROW,
            ROBOFLOW.replace(",", ";") + ROW.replace(",", ";"),
            '"class","xmax","ymax","xmin","ymin","filename"\ndisc,0.3,0.5,0.1,0.1,a.jpg\n',
            "image,label,x1,y1,x2,y2,width,height\nphotos\\a.jpg,disc,10,5,30,25,100,50\n",
            MAKESENSE,
            "ImageID,Source,LabelName,XMin,XMax,YMin,YMax\na,x,disc,0.1,0.3,0.1,0.5\n",
            "filename,class,xmin,ymin,xmax,ymax\na.jpg,disc,0.1,0.1,0.3,0.5\n",
        ],
    )
    def test_columns_are_found_by_their_names(self, read_by: ReadBy, text: str) -> None:
        reading = read_by(csv_boxes, with_images(text))

        assert reading.rows("a.jpg") == [[0, 0.2, 0.3, 0.2, 0.4]]

    def test_retinanet_has_no_header_and_empty_rows_for_backgrounds(self, read_by: ReadBy) -> None:
        files = with_images("img/a.jpg,10,5,30,25,disc\nimg/b.jpg,,,,,\n", "img/a.jpg", "img/b.jpg")

        reading = read_by(csv_boxes, files)

        assert reading.image("img/a.jpg").in_pixels
        assert reading.rows("img/a.jpg") == [[0, 20, 15, 20, 20]]
        assert reading.image("img/b.jpg").rows is None

    @pytest.mark.parametrize(
        "text",
        [
            "filename, disc, ring\na.jpg, 0, 1\n",
            "Pixel Value, Class\n0, disc\n",
            "epoch,loss\n1,2\n",
        ],
    )
    def test_other_tables_are_not_recognised(self, read_by: ReadBy, text: str) -> None:
        assert read_by(csv_boxes, with_images(text)).files == []

    def test_the_folder_of_the_file_names_the_split(self, read_by: ReadBy) -> None:
        files: Files = {}
        for split in ("train", "valid", "test"):
            files |= with_images(ROBOFLOW + ROW, f"{split}/a.jpg", file=f"{split}/_annotations.csv")

        assert read_by(csv_boxes, files).counts() == {"test": 1, "train": 1, "val": 1}

    def test_the_name_of_the_file_names_the_split(self, read_by: ReadBy) -> None:
        files = with_images(ROBOFLOW + ROW, "images/a.jpg", file="data/train_labels.csv")
        files |= with_images(
            ROBOFLOW + ROW.replace("a.jpg", "b.jpg"), "pictures/b.jpg", file="data/test_labels.csv"
        )

        assert read_by(csv_boxes, files).counts() == {"train": 1, "test": 1}

    def test_an_image_without_a_row_is_a_background(self, read_by: ReadBy) -> None:
        reading = read_by(csv_boxes, with_images(ROBOFLOW + ROW, "a.jpg", "b.jpg"))

        assert reading.counts() == {None: 2}

    def test_class_descriptions_name_the_ids_of_open_images(self, read_by: ReadBy) -> None:
        text = "ImageID,LabelName,XMin,XMax,YMin,YMax\na,/m/0k4j,0.1,0.3,0.1,0.5\n"
        files = with_images(text) | {"class-descriptions-boxable.csv": b"/m/0k4j,Car\n"}

        reading = read_by(csv_boxes, files)

        assert reading.source is not None
        assert reading.source.names == ["Car"]

    @pytest.mark.parametrize(
        "row", ["a.jpg,100,50,disc,x,5,30,25\n", "c.jpg,100,50,disc,1,5,30,25\n"]
    )
    def test_a_row_without_numbers_or_image_is_reported_with_its_line(
        self, read_by: ReadBy, row: str
    ) -> None:
        reading = read_by(csv_boxes, with_images(ROBOFLOW + ROW + row))

        assert [(each.code, each.line) for each in reading.findings] == [("annotation-ignored", 3)]

    @settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(junk=st.binary(max_size=30))
    def test_any_bytes_end_in_a_finding_or_a_source(
        self, an_upload: OpenUpload, junk: bytes
    ) -> None:
        upload = an_upload(with_images(ROBOFLOW + ROW) | {"b.csv": ROBOFLOW.encode() + junk})

        source = csv_boxes.read(upload, ["_annotations.csv", "b.csv"])

        assert source is not None or upload.findings.kept()
