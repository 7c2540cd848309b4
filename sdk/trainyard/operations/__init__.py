"""What the client can do, each written once for both drivers."""
