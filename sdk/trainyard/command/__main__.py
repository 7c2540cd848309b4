"""`python -m trainyard.command` is the command `trainyard`."""

from trainyard.command import main

if __name__ == "__main__":
    main()
