"""SHA-256 of official weights, by name, as far as a source that vouches for them gives it.

The table is empty: upstream publishes no digests, and none is made up here. A download is held
against its entry where there is one; where there is none its digest is shown for a person to check.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

OFFICIAL_DIGESTS: Final[Mapping[str, str]] = MappingProxyType({})
