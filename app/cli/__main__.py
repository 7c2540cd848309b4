"""`python -m app.cli` is the `trainyard` command."""

from app.cli import main

if __name__ == "__main__":
    main()
