"""The request of a verification is refused in plain words if its options cannot be meant."""

import pytest
from pydantic import ValidationError

from app.datasets.archives.report import SplitShares


class TestSplitShares:
    def test_shares_may_differ_from_1_by_rounding(self) -> None:
        assert SplitShares(train=0.7, val=0.2, test=0.1).test == 0.1

    @pytest.mark.parametrize("shares", [{"train": 0.7}, {"train": 0.8, "val": 0.2, "test": 0.1}])
    def test_shares_that_do_not_sum_up_to_1_are_refused(self, shares: dict[str, float]) -> None:
        with pytest.raises(ValidationError, match="must sum up to 1, not"):
            SplitShares(**shares)
