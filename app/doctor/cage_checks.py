"""Checks of what holds trainers, inspections, proofs and verifications."""

from collections.abc import Iterator

from app.core.cage.plan import CagePlan
from app.core.cage.probe import ProbeFailed, probe
from app.core.devices import cpu_slots_of_this_machine
from app.doctor.results import CheckResult, error, fine, warning
from app.settings import Settings


def check_cage(settings: Settings) -> Iterator[CheckResult]:
    """Check which layers of the cage this machine has."""
    if settings.cage == "off":
        yield warning(
            "cage",
            "Trainers and image decoders run without a cage.",
            "Unset TRAINYARD_CAGE, unless you trust every dataset and plugin.",
        )
        return
    found = CagePlan.of_verifier(settings).layers()
    missing = {layer: reason for layer, reason in found.items() if reason is not None}
    if missing:
        reasons = "; ".join(f"{layer}: {reason}" for layer, reason in missing.items())
        yield warning(
            "cage",
            f"{len(found) - len(missing)} of {len(found)} layers hold. Missing: {reasons}.",
            "docs/cage.md says what each layer needs, also in containers.",
        )
    else:
        yield fine("cage", f"All {len(found)} layers hold.")


def check_doors(settings: Settings) -> Iterator[CheckResult]:
    """Try every forbidden thing from inside a cage."""
    try:
        doors = probe(settings)
    except ProbeFailed as failure:
        yield error("probe", f"It did not run: {failure}.", "Report this.")
        return
    opened = [door.name for door in doors if not door.is_shut]
    if opened:
        yield error(
            "probe",
            f"{len(opened)} of {len(doors)} doors are open: {', '.join(opened)}.",
            "See which layer is missing; set TRAINYARD_CAGE=require to refuse such a machine.",
        )
    else:
        yield fine("probe", f"All {len(doors)} doors are shut.")


def check_cpu_slots() -> Iterator[CheckResult]:
    """Check that no two slots share the cores of this machine."""
    slots = cpu_slots_of_this_machine()
    if len(slots) > 1:
        processes = ", ".join(map(str, sorted(slots)))
        yield warning(
            "cpu slots",
            f"{len(slots)} slots train on the CPU of this machine (processes {processes}).",
            "They slow each other down; TRAINYARD_EXCLUSIVE_CPU=1 refuses a second one.",
        )
