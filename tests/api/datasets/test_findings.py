"""Findings by HTTP: pages of all of them, remedies, and ready requests sent as they are."""

from pathlib import Path

import pytest
from sqlalchemy import select, update

from app.datasets.reports.finding_codes import Code
from app.datasets.tables import DatasetVersion
from app.ops.garbage import named
from tests.api.datasets.invalid_versions import Json, an_invalid_version
from tests.api.datasets.uploading import shapes_zip, upload, verified
from tests.api.refusals import assert_refused
from tests.datasets.builders import Files, a_zip, label_files
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

BAD_ROWS = b"9 0.5 0.5 0.1 0.1\n" * 20


def packed(files: Files, folder: Path) -> bytes:
    return a_zip(folder / "upload.zip", files).read_bytes()


def many_bad_labels() -> Files:
    """Return a dataset with 240 rows of an unknown class, 20 a file, and one other fault."""
    files = label_files("detect", train=12, val=2)
    for seed in range(12):
        files[f"labels/train/{seed:04d}.txt"] = BAD_ROWS
    files["labels/val/1000.txt"] = b"0 0.5\n"
    return files


def findings_of(api: Api, reference: str, **query: str | int) -> Json:
    answer = api.client.get(f"/v1/datasets/{reference}/findings", params=query)
    assert answer.status_code == 200, answer.text
    page: Json = answer.json()
    return page


def all_findings(api: Api, reference: str, **query: str | int) -> list[Json]:
    page = findings_of(api, reference, **query)
    listed: list[Json] = page["data"]
    while page["has_more"]:
        page = findings_of(api, reference, **query, cursor=page["next"])
        listed += page["data"]
    return listed


class TestFirstToLast:
    def test_every_finding_is_listed_although_a_report_has_the_first_hundred(
        self, api: Api, tmp_path: Path
    ) -> None:
        view = upload(api, packed(many_bad_labels(), tmp_path), policy="strict")
        verified(api, view["id"])
        report = api.client.get(f"/v1/datasets/{view['id']}/report").json()["report"]

        listed = all_findings(api, view["id"], limit=200)

        assert report["finding_totals"] == {"label-columns": 1, "label-class": 240}
        assert len(report["findings"]) == 101
        assert [each["code"] for each in listed] == ["label-columns", *["label-class"] * 240]
        assert len({(each["file"], each["line"]) for each in listed}) == 241

    def test_a_ready_request_sent_as_it_is_corrects_the_version(
        self, api: Api, tmp_path: Path
    ) -> None:
        view = verified(api, upload(api, packed(label_files("obb"), tmp_path))["id"])
        (found,) = findings_of(api, view["id"], severity="error")["data"]
        request = found["request"]

        answer = api.client.request(request["method"], request["path"], json=request["body"])

        assert answer.status_code == 202, answer.text
        corrected = verified(api, answer.json()["version"])
        assert (corrected["state"], corrected["task"]) == ("ready", "obb")
        assert found["choices"] == {"field": "task", "values": ["obb", "segment"]}

    def test_an_upload_takes_a_class_map_as_json(self, api: Api, tmp_path: Path) -> None:
        archive = packed(label_files("detect"), tmp_path)

        view = upload(api, archive, class_map='{"square": "disc", "triangle": null}')

        assert verified(api, view["id"])["classes"] == ["disc"]


@pytest.fixture
def bad(shared_api: Api, tmp_path: Path) -> Json:
    return an_invalid_version(
        shared_api, tmp_path, {Code.LABEL_COLUMNS: 1, Code.LABEL_CLASS: 240, Code.YAML_ENCODING: 2}
    )


class TestPages:
    def test_a_filter_lists_one_code(self, shared_api: Api, bad: Json) -> None:
        listed = all_findings(shared_api, bad["id"], code="label-columns", severity="error")

        assert [each["file"] for each in listed] == ["0.txt"]
        assert all_findings(shared_api, bad["id"], severity="info") == []

    def test_errors_are_listed_first(self, shared_api: Api, bad: Json) -> None:
        listed = all_findings(shared_api, bad["id"], limit=100)

        assert [each["severity"] for each in listed] == ["error"] * 241 + ["warning"] * 2

    def test_findings_of_a_short_report_are_paged_too(
        self, shared_api: Api, tmp_path: Path
    ) -> None:
        view = an_invalid_version(shared_api, tmp_path, {Code.LABEL_CLASS: 20})

        listed = all_findings(shared_api, view["id"], limit=7)

        assert sorted(each["line"] for each in listed) == list(range(1, 21))

    def test_the_pages_stay_with_the_version_of_the_first(
        self, shared_api: Api, bad: Json, tmp_path: Path
    ) -> None:
        first = findings_of(shared_api, bad["id"], limit=100)
        newer = {Code.YAML_INVALID: 1}
        (tmp_path / "findings.jsonl").unlink()
        an_invalid_version(shared_api, tmp_path, newer, name=bad["name"])

        second = findings_of(shared_api, bad["id"], limit=100, cursor=first["next"])

        assert {each["code"] for each in second["data"]} == {"label-class"}
        assert len(findings_of(shared_api, bad["id"])["data"]) == 1

    def test_a_version_of_ones_choice_is_listed(self, shared_api: Api, bad: Json) -> None:
        by_query = findings_of(shared_api, bad["id"], version=bad["version"])
        by_reference = findings_of(shared_api, bad["version"])

        assert by_query["data"] == by_reference["data"] != []

    def test_a_cursor_of_another_filter_is_refused(self, shared_api: Api, bad: Json) -> None:
        cursor = findings_of(shared_api, bad["id"], limit=2)["next"]

        answer = shared_api.client.get(
            f"/v1/datasets/{bad['id']}/findings", params={"cursor": cursor, "severity": "error"}
        )

        assert_refused(answer, status=400, slug="bad-cursor")

    @pytest.mark.parametrize(
        "query", [{"code": "no-code"}, {"severity": "fatal"}, {"limit": 0}, {"other": "1"}]
    )
    def test_an_unknown_value_is_refused(self, shared_api: Api, query: dict[str, str]) -> None:
        reference = shared_api.rows.dataset_id

        answer = shared_api.client.get(f"/v1/datasets/{reference}/findings", params=query)

        assert_refused(answer, status=422, slug="validation-error")

    def test_a_version_of_another_dataset_is_not_found(self, shared_api: Api, bad: Json) -> None:
        reference = shared_api.rows.dataset_id

        answer = shared_api.client.get(
            f"/v1/datasets/{reference}/findings", params={"version": bad["version"]}
        )

        assert_refused(answer, status=404, slug="dataset-not-found")

    def test_a_version_that_waits_for_its_verification_has_no_findings(
        self, shared_api: Api
    ) -> None:
        with shared_api.database.write() as unit:
            held = update(DatasetVersion).where(DatasetVersion.id == shared_api.rows.version_id)
            unit.session.execute(held.values(report=None))

        page = findings_of(shared_api, shared_api.rows.version_id)

        assert page == {"data": [], "next": None, "has_more": False}


class TestStoredFindings:
    def test_the_collector_keeps_the_file_while_its_version_exists(
        self, shared_api: Api, bad: Json
    ) -> None:
        with shared_api.database.read() as unit:
            digest = unit.session.scalars(
                select(DatasetVersion.findings_sha256).where(DatasetVersion.id == bad["version"])
            ).one()
            assert digest is not None

            assert named(unit.session, [digest]) == {digest}


class TestRemedies:
    def test_a_request_keeps_the_options_of_its_version(
        self, shared_api: Api, tmp_path: Path
    ) -> None:
        options: Json = {"policy": "strict", "class_map": {"disc": None}, "splits": "50:50"}
        view = an_invalid_version(shared_api, tmp_path, {Code.LABEL_CLASS: 1}, options=options)

        (found,) = findings_of(shared_api, view["id"])["data"]

        assert found["request"] == {
            "method": "POST",
            "path": f"/v1/datasets/{view['id']}/versions",
            "body": {"version": view["version"], **options, "policy": "lenient"},
        }

    def test_a_report_has_the_remedy_of_each_finding(self, shared_api: Api, bad: Json) -> None:
        report = shared_api.client.get(f"/v1/datasets/{bad['id']}/report").json()["report"]

        assert len(report["findings"]) == 103
        assert {each["code"]: each["remedy"] for each in report["findings"]} == {
            "label-class": "Write a class from 0 to the last one, or add the missing names.",
            "label-columns": "Write the columns of the task into the row, or send another `task`.",
            "yaml-encoding": "Save the file as UTF-8; nothing has to be changed if all names are"
            " right.",
        }
        assert report["findings"][0].keys() >= {"request", "choices"}
        assert "fixes" not in report["findings"][0]


class TestClassOptions:
    def test_colours_in_another_order_are_another_version(self, shared_api: Api) -> None:
        one, other = '{"a": [1, 2, 3], "b": [4, 5, 6]}', '{"b": [4, 5, 6], "a": [1, 2, 3]}'

        first = upload(shared_api, shapes_zip(1), colours=one)
        second = upload(shared_api, shapes_zip(1), colours=other)

        assert first["version"] != second["version"]
        assert upload(shared_api, shapes_zip(1), colours=other)["version"] == second["version"]

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("class_map", "disc:ring"),
            ("class_map", '{"disc": "a", "disc": "b"}'),
            ("class_map", "{}"),
            ("class_map", '{"disc": ""}'),
            ("class_map", '{"disc": 1}'),
            ("class_map", "[" * 10_000),
            ("colours", '{"disc": [0, 0, 256]}'),
            ("colours", '{"disc": [0, 0]}'),
            ("colours", '{"disc": [0, 0, 0.5]}'),
            ("colours", '{"disc": [1, 1, 1], "ring": [1, 1, 1]}'),
        ],
    )
    def test_a_value_that_cannot_be_is_refused_by_its_field(
        self, shared_api: Api, field: str, value: str
    ) -> None:
        answer = shared_api.client.post(
            "/v1/datasets", params={"name": "mine", field: value}, content=b""
        )

        assert_refused(answer, status=422, slug="validation-error")
        assert answer.json()["errors"][0]["pointer"].startswith(f"query/{field}")

    def test_names_and_colours_exclude_each_other(self, shared_api: Api) -> None:
        body = {"names": ["a"], "colours": {"a": [1, 2, 3]}}
        view = upload(shared_api, shapes_zip(1))

        answer = shared_api.client.post(f"/v1/datasets/{view['id']}/versions", json=body)

        assert_refused(answer, status=422, slug="validation-error")
