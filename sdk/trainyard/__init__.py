"""The client of Trainyard."""
