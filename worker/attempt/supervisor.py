"""One attempt from claim to end, in layers that each release what they acquired.

`run_attempt` holds the lease, the phases hold the directory, the log and the dataset, and a process
never outlives the block that started it.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from app.artifacts.names import BEST, LAST, ArtifactKind
from app.core.crash_points import CrashPoint, crash_point
from app.core.errors import InsufficientStorage
from app.core.files import is_disk_full
from app.core.logging import get_logger
from app.jobs.end_reasons import EndReason
from app.jobs.life.recording import set_phase
from app.jobs.locks import Fenced, Hold
from app.jobs.states import JobEvent, Phase
from app.jobs.tables import Job
from worker.attempt.claimed import AttemptFailed, ClaimedAttempt, LeaveRequested
from worker.attempt.conclusion import (
    Conclusion,
    conclude,
    report_failure,
    report_lost_lease,
    store_artifacts,
)
from worker.attempt.directory import attempt_directory
from worker.attempt.lease import Lease, LeaseLost
from worker.attempt.log_shipping import LogShipper
from worker.attempt.out_of_memory import after_training
from worker.attempt.outcome import Outcome, TrainerEnd, decide_outcome, left_on_request, outcome_of
from worker.attempt.plain_text import PlainText, folders_of_this_machine
from worker.attempt.preparation import prepare
from worker.attempt.relay import Relay
from worker.attempt.steering import Steering, Unwatched
from worker.context import WorkerContext
from worker.processes.process import Command, RunningProcess
from worker.trainer.environment import trainer_environment
from worker.trainer.errors import plain_text, without_paths
from worker.trainer.null_trainer import is_null_trainer, null_check
from worker.trainer.protocol import EVENTS_FD_VARIABLE, FinalEvent, JobFile
from worker.trainer.weights.portability import Verdict, portability_check

log = get_logger(__name__)


def run_attempt(context: WorkerContext, job: Job, *, claimed_at: float) -> None:
    """Run a job that was just claimed until this attempt ends, and record the end.

    Call it from a thread that lives longer than the attempt: the kernel kills the trainer when
    the thread that started it ends.

    Args:
        context: the slot that claimed the job.
        job: the row as claimed.
        claimed_at: monotonic time at which the claim was sent.
    """
    hold = Hold(job.id, job.attempt)
    lease = Lease(context.database, hold, timing=context.settings.timing, claimed_at=claimed_at)
    log.info("attempt.started", job_id=job.id, attempt=job.attempt)
    try:
        with lease.kept(), attempt_directory(context.attempts_folder, hold) as directory:
            crash_point(CrashPoint.ATTEMPT_DIRECTORY_MADE)
            attempt = ClaimedAttempt(context, job, lease, directory)
            conclude(attempt, _run_to_conclusion(attempt))
    except Fenced:
        log.warning("attempt.fenced", job_id=job.id, attempt=job.attempt)
    except LeaseLost:
        report_lost_lease(context, lease)
    except Exception as error:  # it got no directory, or its end could not be recorded
        log.exception("attempt.not_concluded", job_id=job.id, attempt=job.attempt)
        report_failure(context, lease, _conclusion_of_error(error))


def _run_to_conclusion(attempt: ClaimedAttempt) -> Conclusion:
    try:
        return _run_phases(attempt)
    except (Fenced, LeaseLost):
        raise
    except LeaveRequested:
        drains = attempt.context.leaving.is_set()
        return Conclusion(left_on_request(attempt.lease.request, drains=drains))
    except AttemptFailed as error:
        return Conclusion(outcome_of(error.reason), message=error.message)
    except Exception as error:  # outermost handler: any error ends only this attempt
        log.exception("attempt.failed", job_id=attempt.job.id, attempt=attempt.job.attempt)
        return _conclusion_of_error(error)


def _conclusion_of_error(error: Exception) -> Conclusion:
    if is_disk_full(error) or isinstance(error, InsufficientStorage):
        return Conclusion(outcome_of(EndReason.DISK_FULL), message=without_paths(str(error)))
    detail = without_paths(str(error))
    message = f"The worker failed at this attempt: {type(error).__name__}: {detail}"
    return Conclusion(Outcome(JobEvent.INTERRUPT, EndReason.WORKER_LOST), message=message)


def _run_phases(attempt: ClaimedAttempt) -> Conclusion:
    if _imports_torch(attempt):
        attempt.context.starter.preload()  # it imports while the dataset is fetched
    with ExitStack() as layers:
        job_file = prepare(attempt, layers)
        output = layers.enter_context(attempt.directory.log_file.open("ab"))
        limit = attempt.context.settings.worker.log_bytes
        home = attempt.context.settings.home
        folders = folders_of_this_machine(attempt.directory.root, home)
        plain = PlainText([*folders, job_file.dataset_path.parent])
        log_file = attempt.directory.log_file
        shipper = LogShipper(attempt.lease, log_file, limit_bytes=limit, plain=plain)
        try:
            with shipper.shipping():
                return _run_processes(attempt, job_file, output)
        finally:
            shipper.ship_rest()


def _run_processes(attempt: ClaimedAttempt, job_file: JobFile, output: IO[bytes]) -> Conclusion:
    trained = _train(attempt, job_file, output)
    if trained.outcome.event is JobEvent.FINISH:
        return _finalize(attempt, trained, output)
    return trained


def _train(attempt: ClaimedAttempt, job_file: JobFile, output: IO[bytes]) -> Conclusion:
    relay = Relay(
        attempt.lease,
        attempt.context.store,
        attempt.directory.run,
        epochs=job_file.spec.train.epochs,
        deciding=attempt.deciding,
    )
    steering = Steering(attempt, relay)
    with _trainer(attempt, relay, output) as process:
        exit_code = steering.wait(process)
    if relay.failure is not None:
        raise relay.failure
    end = TrainerEnd(
        exit_code,
        leave_requested=steering.leave_requested,
        finished=relay.final is not None,
    )
    drains = attempt.context.leaving.is_set()
    trained = Conclusion(
        decide_outcome(end, attempt.lease.request, drains=drains),
        exit_code=exit_code,
        message=relay.error.message if relay.error else None,
        hint=relay.error.hint if relay.error else None,
        final=relay.final,
        amended=relay.error.amended if relay.error else None,
    )
    return after_training(trained, attempt, batch_size=relay.batch_size)


@contextmanager
def _trainer(attempt: ClaimedAttempt, relay: Relay, output: IO[bytes]) -> Iterator[RunningProcess]:
    """Run the trainer and relay its events; on exit it is dead and its events are written."""
    reading, writing = os.pipe()
    with relay.relaying(reading, attempt.directory.spool):
        try:
            process = attempt.context.starter.start(
                _trainer_command(attempt, writing),
                output,
                heavy=_imports_torch(attempt),
                check=attempt.check,
            )
        finally:
            os.close(writing)  # only the trainer's processes keep the pipe open
        with process:
            crash_point(CrashPoint.TRAINER_SPAWNED)
            yield process


def _trainer_command(attempt: ClaimedAttempt, events: int) -> Command:
    argv = [*attempt.context.trainer_argv, str(attempt.directory.job_file)]
    environment = _environment(attempt) | {EVENTS_FD_VARIABLE: str(events)}
    return Command(
        argv, environment, attempt.directory.run, attempt.directory.attempt, pass_fds=(events,)
    )


def _environment(attempt: ClaimedAttempt) -> dict[str, str]:
    gpu = attempt.context.slot.visible_gpus
    return trainer_environment(attempt.directory.root, gpu=gpu, base=os.environ)


def _imports_torch(attempt: ClaimedAttempt) -> bool:
    return not is_null_trainer(attempt.spec)


def _finalize(attempt: ClaimedAttempt, trained: Conclusion, output: IO[bytes]) -> Conclusion:
    """Prove that stock Ultralytics can run the weights, and store the results of the training."""
    hold = attempt.lease.hold
    attempt.lease.write(lambda session: set_phase(session, hold, Phase.FINALIZING))
    crash_point(CrashPoint.FINALIZING_SET)
    proof = _prove(attempt, _weights_to_prove(attempt, trained.final), output)
    if isinstance(proof, Conclusion):
        return proof
    crash_point(CrashPoint.WEIGHTS_PROVED)
    kept = store_artifacts(attempt, trained.final, proof.checks)
    crash_point(CrashPoint.ARTIFACTS_STORED)
    return replace(trained, kept=kept)


def _weights_to_prove(attempt: ClaimedAttempt, final: FinalEvent | None) -> list[Path]:
    """Return every best*.pt to publish, and best.pt in any case: a missing one fails to load."""
    named = final.artifacts if final is not None else []
    weights = {file.name: file.path for file in named if file.kind is ArtifactKind.WEIGHTS}
    weights.pop(LAST, None)  # written in the same way, and chosen by no metric
    return [attempt.directory.run / path for path in ({BEST: BEST} | weights).values()]


def _prove(attempt: ClaimedAttempt, weights: list[Path], output: IO[bytes]) -> Verdict | Conclusion:
    """Run weights with stock Ultralytics in a separate process; a conclusion if they fail."""
    folder = attempt.directory.root / "portability"
    folder.mkdir()
    verdict_file = attempt.directory.root / "verdict.json"
    prove = null_check if is_null_trainer(attempt.spec) else portability_check
    check = prove(weights, _environment(attempt), verdict_file)
    command = Command(check.argv, check.env, folder, attempt.directory.attempt)
    steering = Steering(attempt, Unwatched())
    heavy, starter = _imports_torch(attempt), attempt.context.starter
    with starter.start(command, output, heavy=heavy, check=attempt.check) as process:
        exit_code = steering.wait(process)
    if steering.leave_requested:
        raise LeaveRequested
    verdict = check.verdict()
    if exit_code == 0:
        return verdict
    why = plain_text(verdict.failure or "see the log")
    return Conclusion(
        decide_outcome(TrainerEnd(exit_code), None, drains=False),
        exit_code=exit_code,
        message=f"Weights do not work in a clean process with stock Ultralytics: {why}",
    )
