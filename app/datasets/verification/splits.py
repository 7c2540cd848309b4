"""Make the splits that are missing: train and val always exist afterwards, or a finding says why.

What the author divided stays as it is, unless the upload sends shares in `splits`. The same images
are divided in the same way whatever their order in the archive is.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings
from app.datasets.reports.report import SPLITS, USUAL_SHARES, Split, SplitShares
from app.datasets.verification.division.pool import Divided, divide_pool
from app.datasets.verification.division.stratify import sizes_of
from app.datasets.verification.source import Source, SourceImage, Upload

SHARES: Final = SplitShares()
REMEDY: Final = "Send `splits` to divide all images by other shares."


def complete_splits(source: Source, upload: Upload) -> None:
    """Divide the images of `source` in place if train or val is missing or `splits` is sent.

    The strict policy makes no split that the author left out.
    """
    given = [split for split in (*SPLITS, None) if source.images.get(split)]
    shares = upload.options.splits
    if not given:
        return
    if shares is not None:
        _divide_all(source, upload, shares, given)
    elif {"train", "val"}.issubset(given) or upload.options.policy == "strict":
        return
    elif source.task == "classify" and {"train", "test"}.issubset(given):
        _use_test_as_val(source, upload.findings)
    elif "train" in given or given == [None]:
        _divide_one(source, upload, given[0])
    else:
        upload.findings.add(
            Code.SPLIT_MISSING,
            f"There are images in {_listed(given)}, but none in train. Add train images, or send"
            " `splits` to divide all images again, for example train 0.8 and val 0.2.",
            fixes=[{"splits": USUAL_SHARES}],
        )


def _use_test_as_val(source: Source, findings: Findings) -> None:
    source.images["val"] = source.images.pop("test")
    findings.add(
        Code.SPLIT_MADE,
        f"val was missing, so the {len(source.images['val'])} images of test are val, as in"
        f" Ultralytics. {REMEDY}",
    )


def _divide_one(source: Source, upload: Upload, origin: Split | None) -> None:
    """Divide the images of train, or those that are in no split, into train and val."""
    pool = source.images[origin]
    if _has_one_image(pool, upload.findings):
        return
    divided = divide_pool(source, upload, pool, SHARES)
    del source.images[origin]
    source.images.update(divided.images.items())
    what = "No image was in a split" if origin is None else "val was missing"
    where = "the archive" if origin is None else origin
    upload.findings.add(
        Code.SPLIT_MADE,
        f"{what}, so the {len(pool)} images of {where} were divided by the shares"
        f" {_shares_shown(SHARES)}: {_outcome(divided, source, SHARES)} {REMEDY}",
    )


def _divide_all(
    source: Source, upload: Upload, shares: SplitShares, given: Sequence[Split | None]
) -> None:
    """Divide the images of all splits; an image that is in several splits counts once."""
    different: dict[str, SourceImage] = {}
    for split in given:
        for image in source.images[split]:
            different.setdefault(image.image, image)
    pool = list(different.values())
    if len(given) > 1:
        pool.sort(key=lambda image: (image.name, image.image))
    if _has_one_image(pool, upload.findings):
        return
    divided = divide_pool(source, upload, pool, shares)
    source.images.clear()
    source.images.update(divided.images.items())
    upload.findings.add(
        Code.SPLIT_MADE,
        f"The {len(pool)} images of {_listed(given)} were divided again by `splits`,"
        f" {_shares_shown(shares)}: {_outcome(divided, source, shares)}",
    )


def _has_one_image(pool: Sequence[SourceImage], findings: Findings) -> bool:
    if len(pool) == 1:
        text = "There is one image, and train and val need one each. Add images."
        findings.add(Code.SPLIT_MISSING, text, file=pool[0].image)
    return len(pool) == 1


def _listed(splits: Iterable[Split | None]) -> str:
    return " and ".join(split or "no split" for split in splits)


def _shares_shown(shares: SplitShares) -> str:
    given: dict[str, float] = shares.model_dump()
    return ", ".join(f"{split} {share:g}" for split, share in given.items() if share)


def _outcome(divided: Divided, source: Source, shares: SplitShares) -> str:
    sizes = {split: len(images) for split, images in divided.images.items()}
    sentences = [", ".join(f"{split} {count}" for split, count in sizes.items()) + " images."]
    if divided.classes and not source.has_masks:
        held, known = len(divided.classes_in_val), len(divided.classes)
        sentences.append(f"val has {held} of {known} classes.")
    if sizes["val"] > sizes_of(sum(sizes.values()), shares)["val"]:
        sentences.append(
            "val is larger than its share: its classes or images that look alike need it."
        )
    sentences.append("Images that look alike stay together if that costs val no class.")
    return " ".join(sentences)
