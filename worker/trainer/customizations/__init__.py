"""Customizations of the training: one file, one small class each; compose.py knows their order."""
