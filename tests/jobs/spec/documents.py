"""Job specs as JSON, and their refusals."""

from typing import Any

from pydantic import ValidationError

from app.jobs.spec.job_spec import JobSpec

ULID = "01JD0000000000000000000000"
DATASET = f"ds_{ULID}"
VERSION = f"dsv_{ULID}"


def a_document(**fields: object) -> dict[str, Any]:
    return {"dataset": DATASET, "model": "yolo26n.yaml"} | fields


def problems_of(document: object) -> set[tuple[str, str]]:
    """Return (path, code) of each refusal; an empty result means that the document is a spec."""
    try:
        JobSpec.model_validate(document)
    except ValidationError as error:
        return {("/".join(map(str, each["loc"])), each["type"]) for each in error.errors()}
    return set()
