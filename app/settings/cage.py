"""How processes that handle uploaded data are held; see docs/cage.md."""

from typing import Literal

CageMode = Literal["auto", "require", "off"]
