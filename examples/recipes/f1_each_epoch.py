r"""Compute F1 and the metrics of each class in every epoch.

F1 becomes a column of results.csv; the table of the classes is there for every epoch.

From a shell:

    trainyard train data=data.yaml model=yolo26n.pt epochs=50 imgsz=640 \
      metrics.f1=true metrics.per_class=true

With Python: `python examples/recipes/f1_each_epoch.py DATA`.
DATA is a data.yaml, a folder or an archive of this machine, or a dataset of the server.
`Client()` finds the server as docs/client.md says.
"""

import argparse

from trainyard import Client, Job


def submit(
    client: Client, data: str, model: str = "yolo26n.pt", epochs: int = 50, imgsz: int = 640
) -> Job:
    """Submit the training."""
    return client.train(
        data=data,
        model=model,
        epochs=epochs,
        imgsz=imgsz,
        customize={"metrics": {"f1": True, "per_class": True}},
    )


def main() -> None:
    """Read the command line, train, and print what the recipe is about."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--model", default="yolo26n.pt")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--imgsz", type=int, default=640)
    with Client() as client:
        job = submit(client, **vars(parser.parse_args()))
        print(job.url)
        for epoch in job.epochs():
            print(f"epoch {epoch.epoch}: F1 {epoch.metrics['metrics/F1(B)']:.3f}")
        job.wait()
        for row in job.classes().classes:
            print(row.name, row.f1)
        print(job.best.download())


if __name__ == "__main__":
    main()
