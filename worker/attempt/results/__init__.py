"""What the final validation of a finished training shows, checked and stored."""
