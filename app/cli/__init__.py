"""The `trainyard` command.

Each command imports its modules when it runs, so that `--help` stays fast.
"""

from app.cli.instance_commands import audit, examine_installation
from app.cli.key_commands import keys
from app.cli.model_commands import models
from app.cli.plugin_commands import plugins
from app.cli.project_commands import projects
from app.cli.quota_commands import quotas
from app.cli.services import cli
from app.cli.user_commands import users
from app.cli.worker_commands import workers
from app.core.files import create_privately

__all__ = ["cli", "main"]

cli.add_typer(models, name="models")
cli.add_typer(keys, name="keys")
cli.add_typer(users, name="users")
cli.add_typer(projects, name="projects")
cli.add_typer(quotas, name="quotas")
cli.add_typer(workers, name="workers")
cli.add_typer(plugins, name="plugins")
cli.add_typer(audit, name="audit")
cli.command("doctor")(examine_installation)


def main() -> None:
    """Run the command; the entry point of the installed script."""
    create_privately()
    cli()
