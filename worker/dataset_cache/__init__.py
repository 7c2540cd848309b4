"""Datasets on the worker's disk, made once per version and shared by the node's slots."""
