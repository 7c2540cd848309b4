"""The verbs of the client: one line of help, and where the verb is."""

from typing import Final

VERBS: Final[dict[str, tuple[str, str]]] = {
    "train": (
        "Train: send data and weights, submit a job, show it, and fetch its results.",
        "trainyard.command.training:train",
    ),
    "plan": ("Show what a training would do.", "trainyard.command.training:plan"),
    "submit": ("Submit a job and print its id.", "trainyard.command.training:submit"),
    "jobs": ("List jobs, newest first.", "trainyard.command.jobs:list_jobs"),
    "show": ("Show a job.", "trainyard.command.jobs:show"),
    "watch": ("Show a job live until it has ended.", "trainyard.command.watching:watch"),
    "wait": ("Wait until a job has ended or started.", "trainyard.command.jobs:wait"),
    "logs": ("Print the training log of a job.", "trainyard.command.jobs:logs"),
    "metrics": ("Print the metrics of every epoch.", "trainyard.command.results:metrics"),
    "compare": ("Compare the best epochs of jobs.", "trainyard.command.results:compare"),
    "download": ("Download files of a job.", "trainyard.command.results:download"),
    "stop": (
        "End a job after the current epoch, and keep its result.",
        "trainyard.command.controls:stop",
    ),
    "pause": ("Free the slot of a job; `resume` continues it.", "trainyard.command.controls:pause"),
    "resume": ("Queue a paused job again.", "trainyard.command.controls:resume"),
    "cancel": ("Cancel a job.", "trainyard.command.controls:cancel"),
    "retry": ("Start a failed or cancelled job again.", "trainyard.command.controls:retry"),
    "extend": (
        "Train an ended job for more epochs, as a new job.",
        "trainyard.command.controls:extend",
    ),
    "clone": ("Submit a job again, with changes.", "trainyard.command.controls:clone"),
    "datasets": (
        "Send, list, examine, fix and fetch datasets.",
        "trainyard.command.datasets:datasets",
    ),
    "models": ("List models: architectures and weights.", "trainyard.command.fleet:models"),
    "workers": ("List the slots of all workers.", "trainyard.command.fleet:workers"),
    "queue": ("Show which jobs wait, and for what.", "trainyard.command.fleet:queue"),
    "open": ("Open the page of a job in a browser.", "trainyard.command.jobs:open_page"),
    "login": ("Get and store a key for a server.", "trainyard.command.login:login"),
}
