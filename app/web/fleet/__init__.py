"""Pages of workers, the queue and models."""
