r"""Choose best.pt by a metric of your own choice.

Early stopping and resumes use it too.

From a shell:

    trainyard train data=data.yaml model=yolo26n.pt epochs=50 imgsz=640 \
      "best_model.metric=metrics/recall(B)"

With Python: `python examples/recipes/best_by_metric.py DATA`.
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
        customize={"best_model": {"metric": "metrics/recall(B)"}},
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
        job.wait()
        print(f"epoch {job.best.epoch}: {job.best.metric} {job.best.value}")
        print(job.best.download())


if __name__ == "__main__":
    main()
