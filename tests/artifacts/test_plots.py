"""Plots have titles for people, and a set."""

import pytest

from app.artifacts.plots import set_of_plot, title_of


class TestTitles:
    @pytest.mark.parametrize(
        ("name", "title", "of"),
        [
            ("confusion_matrix_normalized.png", "Confusion matrix, normalized", "results"),
            ("BoxPR_curve.png", "Precision by recall (boxes)", "results"),
            ("MaskF1_curve.png", "F1 by confidence (masks)", "results"),
            ("PoseR_curve.png", "Recall by confidence (key points)", "results"),
            ("labels.jpg", "Labels", "training"),
            ("train_batch12.jpg", "Training batch 12", "training"),
            ("val_batch2_labels.jpg", "Validation batch 2, labels", "validation"),
            ("of a plugin.png", "of a plugin", "results"),
            (".png", ".png", "results"),
        ],
    )
    def test_a_plot_is_named_after_what_it_shows(self, name: str, title: str, of: str) -> None:
        assert (title_of(name), set_of_plot(name)) == (title, of)
