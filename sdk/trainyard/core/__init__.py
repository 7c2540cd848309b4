"""The core: operations that ask for steps, and the two drivers that take them."""
