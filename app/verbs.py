"""The verbs that the server adds to the command `trainyard`: one line of help, and where they are.

`trainyard --help` reads this table and nothing else of the server. Functions that run a verb import
what they need themselves.
"""

from typing import Final

VERBS: Final = {
    "up": (
        "Run everything on this machine: migration, broker, server and one worker slot.",
        "app.cli.services:run_all",
    ),
    "server": (
        "Run only the HTTP server. Migrate the database first.",
        "app.cli.services:run_server",
    ),
    "worker": (
        "Run training jobs, with one Celery process per slot.",
        "app.cli.services:run_worker",
    ),
    "migrate": (
        "Migrate the database to the schema of this release.",
        "app.cli.services:migrate",
    ),
    "doctor": (
        "Check configuration, home, database, broker, store, disks, GPUs and versions.",
        "app.cli.instance_commands:examine_installation",
    ),
    "setup-link": (
        "Print a new link that makes the first administrator, valid for 30 minutes.",
        "app.cli.services:print_setup_link",
    ),
    "models": (
        "Manage base models: weights that jobs start from.",
        "app.cli.model_commands:models",
    ),
    "keys": ("Create, list and revoke API keys.", "app.cli.key_commands:keys"),
    "users": ("Manage the users of this instance.", "app.cli.user_commands:users"),
    "projects": ("Manage projects and their members.", "app.cli.project_commands:projects"),
    "quotas": ("Show and set quotas.", "app.cli.quota_commands:quotas"),
    "workers": ("List slots, and drain or cordon them.", "app.cli.worker_commands:workers"),
    "audit": ("Check the audit log.", "app.cli.instance_commands:audit"),
    "collect": (
        "Remove unneeded data now. Servers do the same periodically.",
        "app.cli.services:collect_garbage",
    ),
    "verify": (
        "Hash all stored bytes now; the exit status is 1 if some are damaged.",
        "app.cli.services:verify_store",
    ),
    "storage": (
        "Show how many bytes of the store each use takes.",
        "app.cli.services:show_storage",
    ),
}
