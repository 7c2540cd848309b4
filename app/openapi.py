"""Print the OpenAPI document, a copy of which is docs/schema/openapi.json.

Regenerate the copy with `python -m app.openapi > docs/schema/openapi.json`.
"""

import json
import sys

from app.main import create_app
from app.settings import Settings


def openapi_document() -> str:
    """Return the document as indented JSON, without opening or starting anything."""
    document = create_app(Settings()).openapi()
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(openapi_document())
