"""Idioms that a reader has to decode, each with a replacement, a bad and a good example.

`test_plain_english.py` runs every pattern over its own examples and over all prose. A pattern is
matched against text whose lines are joined by single spaces; code in backticks is left out.
"""

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class BannedIdiom:
    """One idiom; `instead` gives its replacement."""

    name: str
    pattern: re.Pattern[str]
    instead: str
    bad: str
    good: str


def _banned(name: str, pattern: str, *, instead: str, bad: str, good: str) -> BannedIdiom:
    return BannedIdiom(name, re.compile(pattern), instead=instead, bad=bad, good=good)


BANNED_IDIOMS: Final = (
    _banned(
        "anew",
        r"\b[Aa]new\b",
        instead="again, or from the beginning",
        bad="The optimizer begins anew.",
        good="The optimizer starts from scratch.",
    ),
    _banned(
        "whoever",
        r"\b[Ww]hoever\b",
        instead="the name of the actor",
        bad="Whoever stores bytes names them afterwards.",
        good="A writer stores the bytes first and references them afterwards.",
    ),
    _banned(
        "nobody",
        r"\b[Nn]obody\b",
        instead='the passive, or "no" with the name of the actor',
        bad="Ring again for jobs that nobody claimed.",
        good="Ring again for unclaimed jobs.",
    ),
    _banned(
        "so many",
        r"\b[Ss]o (?:many|long)\b(?! as\b| that\b)",
        instead='the number itself: "N epochs", "after this time"',
        bad="Stop after so many epochs without a better fitness.",
        good="Stop after N epochs without a better fitness.",
    ),
    _banned(
        "by then",
        r"\b[Bb]y then\b",
        instead="before, already, or up to that epoch",
        bad="Its files are in the store by then.",
        good="Its files are already in the store.",
    ),
    _banned(
        "go on from",
        r"\b(?:[Gg]o(?:es|ing|ne)?|went) on from\b",
        instead="continue, resume from, or extend",
        bad="Only a job that has ended can be gone on from.",
        good="Only an ended job can be extended.",
    ),
    _banned(
        "is none",
        r"(?<!\b[Tt]here )\b(?:is|are|was|were) none\b(?! of these\b)",
        instead='"no X", "is not", or "does not count"',
        bad="The background is none of the classes.",
        good="The background does not count as a class.",
    ),
    _banned(
        "foresee",
        r"\b[Ff]ore(?:see|sees|seen|saw|seeing|tell|tells|told|telling)\b",
        instead="plan, estimate, or expect",
        bad="Read what was foreseen of a job as it was submitted.",
        good="Read the plan that was made when the job was submitted.",
    ),
    _banned(
        "stands",
        r"\b(?:[Ss]tands?|[Ss]tood) "
        r"(?:once|twice|beside|above|below|in (?!for\b|front\b|the way\b))",
        instead="is, appears, or takes effect",
        bad="The field stands in one document.",
        good="The field appears in one document.",
    ),
    _banned(
        "asked of",
        r"\b[Aa]sked (?:of|already)\b",
        instead="requested, or pending",
        bad="Apply what was asked of it meanwhile.",
        good="Apply the pending request.",
    ),
    _banned(
        "said",
        r"\b[Ss]aid (?:once|twice|again|of)\b|\b(?:is|are|was|were|been) said\b",
        instead="recorded, reported, or repeated",
        bad="Said twice, it takes effect once.",
        good="Idempotent: callers can repeat it.",
    ),
    _banned(
        "told",
        r"\b(?:is|are|was|were|been) told\b(?! to\b)|\b[Tt]old (?:of|apart)\b",
        instead="reported, notified, or distinguished",
        bad="The epoch is told before the checkpoint.",
        good="The epoch is reported before the checkpoint.",
    ),
    _banned(
        "hand out",
        r"\b[Hh]and(?:s|ed|ing)? out\b",
        instead="return, publish, or offer",
        bad="List what a job hands out, by name.",
        good="List the artifacts of a job, by name.",
    ),
    _banned(
        "bring in",
        r"\b(?:[Bb]rings?|[Bb]rought|[Bb]ringing) in\b",
        instead="add",
        bad="The operator brought in these weights.",
        good="The operator added these weights.",
    ),
    _banned(
        "mend",
        r"\b[Mm]end(?:s|ed|ing)?\b",
        instead="fix, correct, or repair",
        bad="Mend the labels and upload them again.",
        good="Fix the labels and upload them again.",
    ),
    _banned(
        "data set",
        r"\b[Dd]ata sets?\b",
        instead="dataset",
        bad="A data set has versions.",
        good="A dataset has versions.",
    ),
    _banned(
        "he",
        r"\b(?:he|[Hh]is|him|himself)\b",
        instead="they, or the name of the role",
        bad="A batch that the user chose is not changed behind his back.",
        good="Never change a batch size that the user has set.",
    ),
)
