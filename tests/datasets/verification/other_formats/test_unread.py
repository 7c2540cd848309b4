import pytest

from app.datasets.verification.formats.other_formats import unread
from tests.datasets.builders import Files, label_files
from tests.datasets.verification.other_formats.conftest import OpenUpload, ReadBy

IMAGE = b"an image that is not decoded here"

UNREAD: dict[str, Files] = {
    "Multi-label": {"train/a.jpg": IMAGE, "train/_classes.csv": b"filename, disc\na.jpg, 1\n"},
    "MOT": {"s/img1/1.jpg": IMAGE, "s/gt/gt.txt": b"1,1,5.0,6.0,15.0,16.0,1,1,1.0\n"},
    "VisDrone": {"images/1.jpg": IMAGE, "annotations/1.txt": b"5,6,15,16,1,1,0,0\n"},
    "YOLO Keras": {"train/a.jpg": IMAGE, "train/_annotations.txt": b"a.jpg 5,6,20,22,0\n"},
    "VGG": {"a.jpg": IMAGE, "via.csv": b"filename,region_count,region_shape_attributes\n"},
    "Panoptic": {"a.jpg": IMAGE, "panoptic.json": b'{"annotations": [{"segments_info": []}]}'},
    "WIDER": {"a.jpg": IMAGE, "wider_face_train_bbx_gt.txt": b"a.jpg\n1\n1 2 3 4\n"},
    "TFRecord": {"train/x.tfrecord": b"\x00", "train/x_label_map.pbtxt": b"item {}"},
    "Parquet": {"data/train-00000-of-00001.parquet": b"PAR1"},
    "A video": {"clips/a.mp4": b"\x00"},
}


class TestUnread:
    @pytest.mark.parametrize("name", UNREAD)
    def test_a_known_format_is_named_with_a_file_and_a_cure(
        self, read_by: ReadBy, name: str
    ) -> None:
        reading = read_by(unread, UNREAD[name])

        assert [finding.code for finding in reading.findings] == ["format-unread"]
        assert reading.findings[0].message.startswith(name)
        assert any(path.endswith(reading.files[0]) for path in UNREAD[name])
        assert reading.findings[0].file == reading.files[0]

    @pytest.mark.parametrize("more", ["demo.mp4", "old.parquet", "notes.csv", "train/list.txt"])
    def test_files_beside_a_dataset_are_not_taken_for_a_format(
        self, read_by: ReadBy, more: str
    ) -> None:
        files = label_files("detect", train=1, val=1) | {more: b"images/train/0000.jpg\n"}

        assert read_by(unread, files).files == []

    def test_an_unknown_archive_is_described_by_its_folders(self, an_upload: OpenUpload) -> None:
        upload = an_upload({"photos/a.jpg": IMAGE, "photos/b.jpg": IMAGE, "notes/a.docx": b"x"})

        unread.report_unknown(upload)

        message = upload.findings.kept()[0].message
        assert "photos/ (2 .jpg)" in message
        assert "notes/ (1 .docx)" in message
