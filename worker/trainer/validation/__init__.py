"""What the final validation of best.pt shows, recorded while Ultralytics' validator runs."""
