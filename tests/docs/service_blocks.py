"""The generated parts of docs/api.md, docs/settings.md and docs/datasets.md."""

from collections.abc import Iterator
from inspect import getclosurevars, isfunction
from pathlib import Path

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from app.datasets.remedies.sentences import REMEDIES
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.report import Limits
from app.datasets.verification.dataset_yaml import DatasetFields
from app.main import ROUTERS, create_app
from app.settings import Settings
from tests.docs.markdown import code, fields_of, table

EVERYWHERE = {"400", "401", "403", "406", "422", "503"}


def routes() -> str:
    """Return the table of OpenAPI operations, each with the scope that its key needs."""
    scopes = dict(_scopes())
    rows = [
        [
            f"{method.upper()} {code(path)}",
            code(scopes.get((method, path), "")),
            ", ".join(sorted(set(operation["responses"]) - EVERYWHERE)),
            operation["description"].partition("\n\n")[0],
        ]
        for path, operations in create_app(Settings(home=Path("/nowhere")))
        .openapi()["paths"]
        .items()
        for method, operation in operations.items()
    ]
    return table(["route", "scope", "responses", "description"], rows)


def _scopes() -> Iterator[tuple[tuple[str, str], str]]:
    api_routes = (route for router in ROUTERS for route in router.routes)
    for route in api_routes:
        if isinstance(route, APIRoute):
            for scope in _scopes_of(route.dependant):
                yield from (((method.lower(), route.path), scope) for method in route.methods or ())


def _scopes_of(dependant: Dependant) -> Iterator[str]:
    for each in dependant.dependencies:
        if isfunction(each.call) and "scope" in (held := getclosurevars(each.call).nonlocals):
            yield held["scope"]
        yield from _scopes_of(each)


def settings() -> str:
    """Return the table of settings by variable; the key in the TOML file is the dotted path."""
    schema = Settings.model_json_schema()
    rows = [
        [
            code("TRAINYARD_" + field.path.replace(".", "__").upper()),
            field.type,
            field.default,
            field.range,
            field.meaning,
        ]
        for field in fields_of(schema, schema)
    ]
    return table(["variable", "type", "default", "range", "meaning"], rows)


def finding_codes() -> str:
    """Return the table of all codes in a report."""
    rows = [[code(each), each.severity, each.meaning, REMEDIES[each]] for each in Code]
    return table(["code", "severity", "meaning", "remedy"], rows)


def yaml_keys() -> str:
    """Return the table of all keys of data.yaml that are read."""
    return ", ".join(code(name) for name in DatasetFields.model_fields)


def archive_limits() -> str:
    """Return the limits of an archive and its files."""
    limits = Limits()
    rows = [[code(name), f"{value:,}"] for name, value in vars(limits).items()]
    return table(["limit", "value"], rows)
