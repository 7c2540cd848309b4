"""Ultralytics' own ways to write a training, translated into a job spec."""
