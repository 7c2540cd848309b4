"""What Ultralytics reads of a dataset before it trains, made once per dataset version and node.

`python -m worker.trainer.datasets REQUEST` is a process of its own that makes it: the scan of
labels and images, and the decoded images of `cache: "disk"`. Trainings read it.
"""
