"""Decode each JPEG below a folder once with OpenCV: `python plain_decoding.py FOLDER`.

It does not use Trainyard, and checks nothing but that there are pixels.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

cv2.setNumThreads(1)


def main() -> None:
    """Decode the images of the folder that the command line names."""
    for path in Path(sys.argv[1]).rglob("*.jpg"):
        if cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) is None:
            sys.exit(f"{path} has no pixels")


if __name__ == "__main__":
    main()
