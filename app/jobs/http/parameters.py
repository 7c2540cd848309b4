"""Parameters that several routes of jobs have in their path."""

from typing import Annotated

from fastapi import Path

JobId = Annotated[
    str, Path(description="Id of the job (job_…).", examples=["job_01JZ8QD3W5X0A1B2C3D4E5F6G7"])
]
FileName = Annotated[
    str, Path(description="Name of the file, as the list has it.", examples=["best.pt"])
]
