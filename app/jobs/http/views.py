"""The JSON models of class weights and queues."""

from pydantic import BaseModel, Field


class ClassWeightView(BaseModel):
    """The weight of one class in the loss."""

    name: str = Field(description="Name of the class.", examples=["scratch"])
    weight: float = Field(description="Its weight in the class loss.", examples=[2.5])


class QueueView(BaseModel):
    """A queue: waiting and running jobs of the caller's projects, and live slots that serve it."""

    name: str = Field(description="Name of the queue.", examples=["default"])
    queued: int = Field(description="Waiting jobs of your projects.", examples=[4])
    running: int = Field(description="Running jobs of your projects.", examples=[3])
    workers: int = Field(description="Live slots that serve it.", examples=[2])
