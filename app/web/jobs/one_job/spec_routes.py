"""The spec of a job: as it was sent, as it runs, and as requests that submit it again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Response

from app.core.strict_json import StrictRoute
from app.web.jobs.one_job.file_routes import origin_of
from app.web.jobs.one_job.job_header import read_header
from app.web.jobs.one_job.tabs import render_tab
from app.web.pages import InPage

CURL: Final = """\
curl -fsS -X POST {url} \\
  -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \\
  -d @- <<'EOF'
{spec}
EOF"""
PYTHON: Final = """\
import json, os
from urllib.request import Request, urlopen

spec = json.loads(r'''
{spec}
''')
headers = {{"Authorization": f"Bearer {{os.environ['KEY']}}", "Content-Type": "application/json"}}
request = Request("{url}", json.dumps(spec).encode(), headers)
print(json.load(urlopen(request))["id"])"""

router = APIRouter(route_class=StrictRoute, include_in_schema=False)


@dataclass(frozen=True)
class Argument:
    """An argument of the training, as it runs.

    Attributes:
        name: of the argument.
        value: as JSON.
        default: as JSON; empty: the schema does not have one.
        is_set: whether the spec sets it.
        help: what it does.
    """

    name: str
    value: str
    default: str
    is_set: bool
    help: str


@router.get("/jobs/{job_id}/spec")
async def show_spec(job_id: str, page: InPage) -> Response:
    """Show the spec."""
    header = await read_header(page, job_id)
    job = header.job
    schema = await page.api.get("/v1/schema/job", {"task": job["task"]})
    spec, resolved = job["spec"], job["resolved"]
    arguments = _arguments(schema, spec.get("train") or {}, resolved["train"])
    text = json.dumps(spec, indent=2, ensure_ascii=False)
    url = origin_of(page.request) + job["links"]["self"].rpartition("/")[0]
    others = {name: value for name, value in resolved.items() if name != "train"}
    return await render_tab(
        page,
        header,
        "Spec",
        "spec.html",
        text=text,
        arguments=arguments,
        set_count=sum(argument.is_set for argument in arguments),
        others=json.dumps(others, indent=2, ensure_ascii=False),
        again=[("curl", _curl(url, text)), ("Python", _python(url, spec))],
    )


def _arguments(
    schema: Mapping[str, Any], sent: Mapping[str, Any], resolved: Mapping[str, Any]
) -> list[Argument]:
    """Return every argument in the order of the schema; those that it lacks come last."""
    fields = {field["name"]: field for group in schema["groups"] for field in group["fields"]}
    names = [name for name in fields if name in resolved]
    names += [name for name in resolved if name not in fields]
    return [
        Argument(
            name=name,
            value=json.dumps(resolved[name], ensure_ascii=False),
            default=json.dumps(fields[name]["default"]) if name in fields else "",
            is_set=name in sent,
            help=fields[name]["help"] if name in fields else "",
        )
        for name in names
    ]


def _curl(url: str, text: str) -> str:
    return CURL.format(url=url, spec=text)


def _python(url: str, spec: Mapping[str, Any]) -> str:
    """Return a program; everything that would end its text constant is written as an escape."""
    escaped = json.dumps(spec, indent=2).replace("'", "\\u0027")
    return PYTHON.format(url=url, spec=escaped)
