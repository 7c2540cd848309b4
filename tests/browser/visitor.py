"""A visitor of a real Trainyard: each method is a step of a new user in the dashboard."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from playwright.sync_api import Locator, Page, expect

from tests.waiting import eventually
from tests.worlds.server import Server

LINK: Final = re.compile(r"http://\S+/sign-in/link/\S+")
OF_A_VERSION: Final = re.compile(r"/datasets/dsv_")
OF_A_JOB: Final = re.compile(r"/jobs/job_\w+$")
VERIFIED_MS: Final = 90_000
PLANNED_MS: Final = 60_000
STARTED_MS: Final = 120_000
TRAINED_MS: Final = 300_000
CUSTOMIZATIONS: Final = ("metrics", "weights", "best", "freeze", "rates")
DECIDING: Final = "metrics/F1(B)"
TIMES: Final = "\N{MULTIPLICATION SIGN}"
MARK: Final = "globalThis.isStillTheSamePage = true"
IS_MARKED: Final = "globalThis.isStillTheSamePage === true"


@dataclass(frozen=True)
class JobPages:
    """The pages of jobs, as a person uses them."""

    page: Page
    server: Server

    def begin_a_job(self, name: str, **arguments: object) -> None:
        """From the page of a dataset, open the form of a job, and fill it in."""
        self.page.get_by_role("link", name="Train on it").click()
        expect(self.page.locator("#plan")).to_contain_text("Optimizer steps", timeout=PLANNED_MS)
        self.fill_in(name, **arguments)

    def fill_in(self, name: str, **arguments: object) -> None:
        """Give the job a name, and find and fill in training arguments."""
        self.page.locator("#f-name").fill(name)
        for argument, value in arguments.items():
            self.page.locator("#f-find").fill(argument)
            field = self.page.locator(f'[name="train.{argument}"]')
            if field.evaluate("it => it.localName") == "select":
                field.select_option(str(value))
            else:
                field.fill(str(value))

    def customize(self) -> None:
        """Ask for all five customizations."""
        for each in CUSTOMIZATIONS:
            self.page.locator(f"#on-{each}").check()
        self.page.locator('[name="best.metric"]').fill(DECIDING)
        self.page.locator('[name="freeze.epochs"]').fill("1")

    def expect_the_plan_to_follow(self) -> None:
        """Wait until the plan beside the form shows the customizations, without pressing a key."""
        plan = self.page.locator("#plan")
        expect(plan.get_by_role("row", name="WBC")).to_contain_text(TIMES, timeout=PLANNED_MS)
        for group in ("backbone/weight", "rest/weight"):
            expect(plan.get_by_role("row", name=group)).to_be_visible()
        expect(plan.get_by_role("row", name="backbone/weight")).to_contain_text("epoch 2")
        expect(plan.locator(".note.bad")).to_have_count(0)

    def submit(self) -> str:
        """Submit the job; return its id."""
        self.page.get_by_role("button", name="Submit the job").click()
        self.page.wait_for_url(OF_A_JOB)
        self.page.evaluate(MARK)
        return self.page.url.rpartition("/")[2]

    def expect_epoch(self, number: int) -> None:
        """Wait until a chart of the job's page has an epoch, in the page that was open before."""
        chart = self.page.locator("figure[data-chart] [role=slider]").first
        expect(chart).to_have_attribute("aria-valuemax", str(number), timeout=TRAINED_MS)
        assert self.page.evaluate(IS_MARKED)

    def expect_state(self, state: str) -> None:
        """Wait until the header of the job shows a state, in the page that was open before."""
        expect(self.head.locator(".st").first).to_have_text(state, timeout=TRAINED_MS)
        assert self.page.evaluate(IS_MARKED)

    @property
    def head(self) -> Locator:
        """The header of the job."""
        return self.page.locator(".jobhead")

    def download_best(self, job: str) -> tuple[str, str]:
        """Download best.pt; return the digest of what came and that of the API."""
        self.page.locator(".tabs").get_by_role("link", name="Files").click()
        with self.page.expect_download() as download:
            self.page.get_by_role("link", name="best.pt", exact=True).click()
        content = download.value.path().read_bytes()
        files = self.server.get(f"/v1/jobs/{job}/artifacts")["data"]
        digests = {each["name"]: each["sha256"] for each in files}
        return hashlib.sha256(content).hexdigest(), digests["best.pt"]

    def clone(self, name: str, **arguments: object) -> str:
        """Clone the job that is shown, with other training arguments; return the new job's id."""
        self.head.get_by_role("link", name="Clone").click()
        expect(self.page.locator("#plan")).to_contain_text("Optimizer steps", timeout=PLANNED_MS)
        self.fill_in(name, **arguments)
        return self.submit()

    def compare(self, *jobs: str) -> None:
        """Tick jobs in the list, and compare them."""
        self.page.goto("/jobs")
        for job in jobs:
            self.page.locator(f"#{job} .sel").check()
        self.page.locator("#compare").click()
        self.page.wait_for_url("**/jobs/compare?**")

    def retry_amended(self, button: str) -> str:
        """Retry the failed job with the change that its page offers; return the new job's id."""
        self.page.get_by_role("button", name=button).click()
        self.page.wait_for_url(OF_A_JOB)
        self.page.evaluate(MARK)
        return self.page.url.rpartition("/")[2]


@dataclass(frozen=True)
class Visitor:
    """A person with a browser in front of a `trainyard up`."""

    page: Page
    server: Server

    @property
    def jobs(self) -> JobPages:
        """The pages of jobs."""
        return JobPages(self.page, self.server)

    def sign_in_by_the_printed_link(self) -> None:
        """Open the link that `trainyard up` has printed, and press its button."""
        eventually(lambda: LINK.search(self.server.text), within=60)
        (link,) = LINK.findall(self.server.text)
        self.page.goto(link)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url("**/jobs")

    def open_tabs(self, count: int) -> list[Page]:
        """Open the page that is shown in more tabs; each has to be live."""
        tabs = [self.page.context.new_page() for _ in range(count)]
        for tab in tabs:
            tab.goto(self.page.url)
        for tab in tabs:
            expect(tab.locator("#live")).to_have_text("Live")
        return tabs

    def kill_the_server(self) -> None:
        """Kill the server process; `trainyard up` starts another one."""
        (server,) = self.server.processes("--listener")
        server.kill()
        expect(self.page.locator("#live")).not_to_have_text("Live")
        expect(self.page.locator("#live")).to_have_text("Live", timeout=STARTED_MS)

    def upload(self, archive: Path, name: str) -> None:
        """Upload an archive, and wait until its version is verified."""
        self.page.goto("/datasets/new")
        self.page.locator("#u-file").set_input_files(archive)
        self.page.locator("#u-name").fill(name)
        self.page.get_by_role("button", name="Upload", exact=True).click()
        self.page.wait_for_url(OF_A_VERSION)

    def expect_verified(self, state: str) -> None:
        """Wait until the page of a dataset shows how its verification ended."""
        expect(self.page.locator(".facts")).to_contain_text(state, timeout=VERIFIED_MS)

    def mend_by_the_button_of_a_finding(self, option: str) -> None:
        """Read an invalid version again with the option that its first finding offers."""
        note = self.page.get_by_role("region", name="Invalid")
        note.get_by_role("combobox").select_option(label=option)
        note.get_by_role("button", name="Read it again").click()
        self.page.wait_for_url(OF_A_VERSION)

    def sign_out(self) -> None:
        """Sign out by the menu."""
        self.page.locator("header summary").click()
        self.page.get_by_role("button", name="Sign out").click()
        self.page.wait_for_url("**/sign-in")
