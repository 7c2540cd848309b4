"""What one upload may inflate to, over all archives inside one another."""

from dataclasses import dataclass

from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings
from app.datasets.reports.report import Limits


@dataclass
class Budget:
    """Counts the members and the inflated bytes of an upload and of its inner archives."""

    limits: Limits
    uploaded_bytes: int
    members: int = 0
    inflated_bytes: int = 0

    @property
    def bytes_left(self) -> int:
        """How many bytes more may be inflated."""
        dense = self.uploaded_bytes * self.limits.max_ratio
        most = min(self.limits.max_total_bytes, max(self.limits.ratio_free_bytes, dense))
        return most - self.inflated_bytes

    def take_bytes(self, size: int, findings: Findings) -> bool:
        """Count inflated bytes; add a finding and return False if they are too many."""
        if size > self.bytes_left:
            limits = self.limits
            findings.add(
                Code.ARCHIVE_BOMB,
                f"The upload has {self.uploaded_bytes} bytes and inflates to more than"
                f" {self.inflated_bytes + self.bytes_left}, with the archives inside it; it may"
                f" inflate {limits.max_ratio}-fold to at most {limits.max_total_bytes} bytes.",
            )
            return False
        self.inflated_bytes += size
        return True

    def take_members(self, count: int, findings: Findings) -> bool:
        """Count members; add a finding and return False if they are too many."""
        self.members += count
        if self.members > self.limits.max_members:
            findings.add(
                Code.ARCHIVE_BOMB,
                f"The archive has {self.members} members or more; {self.limits.max_members} are"
                " allowed.",
            )
            return False
        return True
