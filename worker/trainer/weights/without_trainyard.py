"""`without_trainyard.py FILE ARGUMENT…`: run a program where Trainyard cannot be imported."""

import runpy
import sys

OWN_PACKAGES = frozenset({"app", "worker"})


class BlockingFinder:
    """A finder that hides Trainyard."""

    def find_spec(self, name: str, *_: object) -> None:
        """Refuse the packages of Trainyard; leave all others to the next finder."""
        if name.partition(".")[0] in OWN_PACKAGES:
            raise ModuleNotFoundError(f"{name} must not be needed", name=name)


def main() -> None:
    """Hide Trainyard and run the program.

    Raises:
        ModuleNotFoundError: This process has imported Trainyard before.
    """
    imported = [name for name in sys.modules if name.partition(".")[0] in OWN_PACKAGES]
    if imported:
        raise ModuleNotFoundError(f"{imported[0]} is imported, and must not be needed")
    sys.meta_path.insert(0, BlockingFinder())
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
