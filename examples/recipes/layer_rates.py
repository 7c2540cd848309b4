r"""Train the backbone at a tenth of the learning rate.

The job keeps its optimizer with its decay, momentum and schedule.

From a shell, with the same
spec in a job file, because a rate is an entry of a list:

    trainyard train -f examples/recipes/layer_rates.yaml \
      data=data.yaml model=yolo26n.pt epochs=50 imgsz=640

With Python: `python examples/recipes/layer_rates.py DATA`.
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
        optimizer="AdamW",
        lr0=0.002,
        customize={"layer_lrs": [{"layers": "backbone", "factor": 0.1}]},
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
        for name, values in job.metrics().columns().items():
            if name.startswith("lr/"):
                print(name, values[-1])
        print(job.best.download())


if __name__ == "__main__":
    main()
