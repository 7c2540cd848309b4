"""Write converted annotations as YOLO label rows: a class and coordinates."""

from collections.abc import Iterable, Sequence

Point = tuple[float, float]


def row(number: int, values: Iterable[float]) -> bytes:
    """Return one label row; ten digits are far below a pixel of any image."""
    numbers = tuple(values)
    template = "%d" + " %.10g" * len(numbers) + "\n"
    return (template % (number, *numbers)).encode()


def box_row(number: int, corners: Sequence[float], size: Sequence[float] = (1, 1)) -> bytes | None:
    """Return the row of a box, or None if it has no area inside the image.

    Args:
        number: the class.
        corners: left, top, right and bottom; what lies outside the image is cut off.
        size: width and height that the corners refer to.
    """
    left, top, right, bottom = clipped(corners, size)
    if right <= left or bottom <= top:
        return None
    return row(number, ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top))


def polygon_row(
    number: int, points: Sequence[Point], size: Sequence[float] = (1, 1)
) -> bytes | None:
    """Return the row of a polygon cut at the image, or None if it has no area there."""
    width, height = size
    inside = [(min(max(x / width, 0.0), 1.0), min(max(y / height, 0.0), 1.0)) for x, y in points]
    xs, ys = [x for x, _ in inside], [y for _, y in inside]
    if len(inside) < 3 or max(xs) <= min(xs) or max(ys) <= min(ys):  # noqa: PLR2004 -- a triangle
        return None
    return row(number, (value for point in inside for value in point))


def clipped(corners: Sequence[float], size: Sequence[float]) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom as fractions of the image, cut at its borders."""
    width, height = size
    left, top, right, bottom = (
        min(max(value / side, 0.0), 1.0)
        for value, side in zip(corners, (width, height, width, height), strict=True)
    )
    return left, top, right, bottom
