"""The ready request that fixes a finding: it reads the same bytes with other options."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from app.core.path_prefix import link
from app.datasets.remedies.sentences import REMEDIES
from app.datasets.reports.finding_codes import Code, Severity
from app.datasets.reports.findings import Finding, Fix

LENIENT: Final[Fix] = {"policy": "lenient"}
UNCHANGED: Final[Fix] = {}
MAX_OPTIONS_CHARACTERS: Final = 16_384
"""Longer options are not repeated in every finding of a report."""


class ReadyRequest(BaseModel):
    """A request that can be sent as it is."""

    model_config = ConfigDict(frozen=True)

    method: Literal["POST"] = Field(default="POST", description="HTTP method of the request.")
    path: str = Field(
        description="Path to send it to.",
        examples=["/v1/datasets/ds_01JZ8QD3W5X0A1B2C3D4E5F6G7/versions"],
    )
    body: dict[str, JsonValue] = Field(
        description="Its JSON body.",
        examples=[{"version": "dsv_01JZ8QD3W5X0A1B2C3D4E5F6G7", "policy": "lenient"}],
    )


class OptionChoice(BaseModel):
    """The values of one field of a request's body that fit; the body has the first of them."""

    model_config = ConfigDict(frozen=True)

    field: str = Field(description="Name of the field.", examples=["task"])
    values: list[JsonValue] = Field(
        description="The values that fit, the likeliest first.", examples=[["detect", "segment"]]
    )


class FindingView(BaseModel):
    """A finding with its remedy and, if a request fixes it, that request."""

    code: Code = Field(description="Stable code of the finding.")
    severity: Severity = Field(description="Whether it is an error.")
    message: str = Field(
        description="What was found, for people.",
        examples=["The label has 6 values; 5 are expected."],
    )
    file: str | None = Field(
        description="Path of the file in the archive. null: of no single file.",
        examples=["labels/train/0042.txt"],
    )
    line: int | None = Field(description="Counts from 1.", examples=[3])
    remedy: str = Field(
        description="What to change, in one sentence.",
        examples=["Correct the line, or remove the image."],
    )
    request: ReadyRequest | None = Field(
        description="Reads the same bytes as the next version, without this finding. null: no "
        "option fixes it, or the options of the version are too long to repeat them here."
    )
    choices: OptionChoice | None = Field(
        description="The values that fit, where the request had to choose one.", examples=[None]
    )


class FindingViews:
    """Shows the findings of one version, each with its remedy."""

    def __init__(self, dataset_id: str, version_id: str, options: Mapping[str, JsonValue]) -> None:
        """Take the import options of the version; those of its ready requests differ from them."""
        self._path = link(f"/v1/datasets/{dataset_id}/versions")
        self._body: dict[str, JsonValue] = {"version": version_id, **options}
        self._characters = len(str(self._body))

    def view(self, finding: Finding) -> FindingView:
        """Return the view of a finding."""
        fixes = _fixes_of(finding)
        return FindingView(
            **finding.model_dump(exclude={"fixes"}),
            remedy=REMEDIES[finding.code],
            request=self._request(fixes[0]) if fixes else None,
            choices=_choices_among(fixes),
        )

    def _request(self, fix: Fix) -> ReadyRequest | None:
        if self._characters + len(str(fix)) > MAX_OPTIONS_CHARACTERS:
            return None
        changed: dict[str, JsonValue] = {**self._body, **fix}
        body = {name: value for name, value in changed.items() if value is not None}
        return ReadyRequest.model_validate({"path": self._path, "body": body})


def _fixes_of(finding: Finding) -> Sequence[Fix]:
    if finding.fixes:
        return finding.fixes
    if finding.code is Code.VERIFICATION_CRASHED:
        return (UNCHANGED,)
    if finding.code.drops and finding.severity is Severity.ERROR:
        return (LENIENT,)
    return ()


def _choices_among(fixes: Sequence[Fix]) -> OptionChoice | None:
    """Return the one field that several fixes set, with their values."""
    fields = {name for fix in fixes for name in fix}
    if len(fixes) < 2 or len(fields) != 1:  # noqa: PLR2004 -- one is no choice
        return None
    (field,) = fields
    return OptionChoice(field=field, values=[fix[field] for fix in fixes])
