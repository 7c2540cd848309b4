"""The installed version of Trainyard."""

from importlib.metadata import version

VERSION = version("trainyard-server")
