"""Parameters that several routes of datasets have in their path."""

from typing import Annotated

from fastapi import Path

DatasetReference = Annotated[
    str,
    Path(
        description="Id of the dataset (ds_…), which means its newest version, or of one version "
        "(dsv_…).",
        examples=["ds_01JZ8QD3W5X0A1B2C3D4E5F6G7"],
    ),
]
