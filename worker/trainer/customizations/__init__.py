"""Customizations of the training: one small class per file; compose.py has their order."""
