"""SHA-256 digests of official weights by name, as far as a trusted source publishes them.

The table is empty: upstream publishes no digests, and we do not invent any. A download with an
entry must match it. A download without an entry is accepted, and its digest is shown so that a
person can check it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

OFFICIAL_DIGESTS: Final[Mapping[str, str]] = MappingProxyType({})
