"""The request of a verification is refused in plain words if its options cannot be meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.datasets.reports.report import ImportOptions, SplitShares


class TestSplitShares:
    def test_shares_may_differ_from_1_by_rounding(self) -> None:
        assert SplitShares(train=0.7, val=0.2, test=0.1).test == 0.1

    @pytest.mark.parametrize("shares", [{"train": 0.7}, {"train": 0.8, "val": 0.2, "test": 0.1}])
    def test_shares_that_do_not_sum_up_to_1_are_refused(self, shares: dict[str, float]) -> None:
        with pytest.raises(ValidationError, match="must sum up to 1, not"):
            SplitShares(**shares)

    @given(st.integers(1, 999_999), st.integers(1, 999_999), st.integers(0, 999_999))
    def test_shares_that_are_accepted_are_read_back(self, train: int, val: int, test: int) -> None:
        try:
            options = ImportOptions.model_validate({"splits": f"{train}:{val}:{test}"})
        except ValidationError:
            return

        stored = options.model_dump(mode="json")

        again = ImportOptions.model_validate(stored).splits
        assert again is not None
        assert again.val == pytest.approx(options.splits.val if options.splits else 0, abs=1e-5)

    @pytest.mark.parametrize("splits", ["999999:0.1", "0.1:999999", "100:0"])
    def test_a_share_below_a_thousandth_is_refused(self, splits: str) -> None:
        with pytest.raises(ValidationError, match="greater than or equal to"):
            ImportOptions.model_validate({"splits": splits})
