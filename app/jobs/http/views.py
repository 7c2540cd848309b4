"""The JSON models of class weights and queues."""

from pydantic import BaseModel


class ClassWeightView(BaseModel):
    """The weight of one class in the loss."""

    name: str
    weight: float


class QueueView(BaseModel):
    """A queue: waiting and running jobs of the caller's projects, and live slots that serve it."""

    name: str
    queued: int
    running: int
    workers: int
