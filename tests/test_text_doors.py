"""Every door for text of users, archives and programs: what is kept can be seen by people."""

from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from app.core.errors import FieldError, Invalid
from app.core.plain_text import first_hidden
from app.core.problems import problem_response
from app.core.text_fields import check_name
from app.datasets.http.from_upload_routes import FromUploadBody
from app.datasets.http.routes import UploadQuery
from app.datasets.reports.class_options import ClassName
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings, shown
from app.datasets.verification.dataset_yaml import DatasetFields
from app.datasets.verification.formats.json_formats.values import name_fault
from app.datasets.verification.formats.other_formats.plain_text import class_name
from app.fleet.repository import ReportedPlugin
from app.jobs.http.routes import JobChange
from app.uploads.headers import filename_in, parse_metadata
from worker.trainer.protocol import ErrorEvent, NoticeEvent, WarningEvent

TEXT = st.text(st.characters(exclude_categories=()), min_size=1, max_size=30) | st.text(
    st.sampled_from("aé👩💻❤می線\ufe0f\u200b\u200c\u200d\u202e\u3164\ufeff\uffff\x1b\x9b\n\ud800"),
    min_size=1,
    max_size=30,
)


def by_model(model: type[BaseModel], **fields: object) -> Callable[[str], object]:
    """Return the door that is a model; `TEXT` in its fields is the text."""

    def enter(text: str) -> object:
        given = {name: text if value == "TEXT" else value for name, value in fields.items()}
        return model.model_validate(given).model_dump(mode="json")

    return enter


def metadata(text: str) -> str:
    encoded = b64encode(text.encode("utf-8", "surrogatepass")).decode()
    return filename_in(parse_metadata(f"filename {encoded}"))


def finding(text: str) -> object:
    findings = Findings()
    fix: dict[str, JsonValue] = {"class_map": {text: None}}
    findings.add(Code.NAMES_REPEATED, f"See {shown(text)}.", file=text, fixes=[fix])
    return [each.model_dump(mode="json") for each in findings.kept()]


def weird_problem(text: str) -> object:
    error = Invalid(f"{text} is unknown", errors=[FieldError(f"/{text}", "unknown", text)])
    return bytes(problem_response(error).body).decode()


def class_name_of_json(text: str) -> str:
    return "" if name_fault([text]) else text


DOORS: dict[str, Callable[[str], object]] = {
    "name-of-a-job": by_model(JobChange, name="TEXT"),
    "tag-of-a-job": lambda text: by_model(JobChange, tags={"a": text})(text),
    "name-of-a-dataset": by_model(UploadQuery, name="TEXT"),
    "name-of-a-dataset-from-an-upload": by_model(FromUploadBody, upload="upl_1", name="TEXT"),
    "name-of-an-upload": metadata,
    "name-that-a-command-gives": lambda text: check_name(text, pointer="label"),
    "class-that-a-user-names": TypeAdapter(ClassName).validate_python,
    "class-in-a-yaml": lambda text: by_model(DatasetFields, names=[text])(text),
    "keypoint-in-a-yaml": lambda text: by_model(
        DatasetFields, names=["a"], kpt_shape=[1, 3], kpt_names={0: [text]}
    )(text),
    "class-in-json": class_name_of_json,
    "class-in-xml-and-csv": class_name,
    "finding": finding,
    "problem": weird_problem,
    "plugin": by_model(ReportedPlugin, name="TEXT", version="TEXT", error="TEXT"),
    "warning-of-a-trainer": by_model(WarningEvent, code="TEXT", message="TEXT"),
    "notice-of-a-trainer": lambda text: by_model(
        NoticeEvent, code="a", message=text, data={text: [text]}
    )(text),
    "error-of-a-trainer": by_model(ErrorEvent, code="bad_data", message="TEXT", hint="TEXT"),
}


def texts_in(value: Any) -> Iterator[str]:  # noqa: ANN401 -- JSON
    match value:
        case str():
            yield value
        case list():
            for item in value:
                yield from texts_in(item)
        case dict():
            for key, item in value.items():
                yield from texts_in(key)
                yield from texts_in(item)


class TestDoors:
    @pytest.mark.parametrize("door", DOORS)
    @given(TEXT)
    @settings(max_examples=60)
    def test_h3_u13_text_is_refused_or_kept_so_that_people_see_all_of_it(
        self, door: str, text: str
    ) -> None:
        try:
            kept = DOORS[door](text)
        except (ValidationError, Invalid):
            return

        assert [each for each in texts_in(kept) if first_hidden(each.replace("…", ""))] == []

    @pytest.mark.parametrize("door", [door for door in DOORS if door not in {"finding", "problem"}])
    @pytest.mark.parametrize("text", ["défaut 3", "線", "می\u200cخواهم"])  # noqa: RUF001 -- Persian
    def test_text_of_any_script_enters_unchanged(self, door: str, text: str) -> None:
        assert text in texts_in(DOORS[door](text))
