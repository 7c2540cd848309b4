"""The pages of one job: its header, and a page for each of its tabs."""
