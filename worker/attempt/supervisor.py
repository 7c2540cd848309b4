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
from worker.attempt.logs.log_shipping import LogShipper
from worker.attempt.logs.plain_text import PlainText, folders_of_this_machine
from worker.attempt.out_of_memory import after_training
from worker.attempt.outcome import Outcome, TrainerEnd, decide_outcome, left_on_request, outcome_of
from worker.attempt.preparation import PreparedJob, prepare
from worker.attempt.relay import Relay
from worker.attempt.results.final_validation import store_final_validation
from worker.attempt.steering import Steering, Unwatched
from worker.attempt.trainer_files import WEIGHTS_BYTES, opened_file
from worker.context import WorkerContext
from worker.dataset_cache.entry import DATASET
from worker.processes.process import Command, RunningProcess
from worker.trainer.environment import trainer_environment
from worker.trainer.errors import plain_text, without_paths
from worker.trainer.null_trainer import is_null_trainer, null_check
from worker.trainer.protocol import EVENTS_FD_VARIABLE, FinalEvent
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
        return Conclusion(left_on_request(attempt.lease.request, drains=attempt.drains))
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
        prepared = prepare(attempt, layers)
        output = layers.enter_context(attempt.directory.log_file.open("a+b"))
        limit = attempt.context.settings.worker.log_bytes
        home = attempt.context.settings.home
        folders = folders_of_this_machine(attempt.directory.root, home)
        plain = PlainText([*folders, prepared.job_file.dataset_path.parent])
        shipper = LogShipper(attempt.lease, output, limit_bytes=limit, plain=plain)
        try:
            with shipper.shipping():
                return _run_processes(attempt, prepared, output)
        finally:
            shipper.ship_rest()


def _run_processes(attempt: ClaimedAttempt, prepared: PreparedJob, output: IO[bytes]) -> Conclusion:
    trained = _train(attempt, prepared, output)
    if trained.outcome.event is JobEvent.FINISH:
        return _finalize(attempt, trained, prepared, output)
    return trained


def _train(attempt: ClaimedAttempt, prepared: PreparedJob, output: IO[bytes]) -> Conclusion:
    relay = Relay(
        attempt.lease,
        attempt.context.store,
        attempt.directory.run_files,
        epochs=prepared.job_file.spec.train.epochs,
        deciding=attempt.deciding,
        use=attempt.context.use.of_training(),
    )
    steering = Steering(attempt, relay)
    with _trainer(attempt, prepared, relay, output) as process:
        exit_code = steering.wait(process)
    if relay.failure is not None:
        raise relay.failure
    end = TrainerEnd(
        exit_code,
        leave_requested=steering.leave_requested,
        finished=relay.final is not None,
    )
    trained = Conclusion(
        decide_outcome(end, attempt.lease.request, drains=attempt.drains),
        exit_code=exit_code,
        message=relay.error.message if relay.error else None,
        hint=relay.error.hint if relay.error else None,
        final=relay.final,
        amended=relay.error.amended if relay.error else None,
    )
    return after_training(trained, attempt, batch_size=relay.batch_size)


@contextmanager
def _trainer(
    attempt: ClaimedAttempt, prepared: PreparedJob, relay: Relay, output: IO[bytes]
) -> Iterator[RunningProcess]:
    """Run the trainer and relay its events; on exit it is dead and its events are written."""
    reading, writing = os.pipe()
    with relay.relaying(reading, attempt.directory.spool):
        try:
            process = attempt.context.starter.start(
                _trainer_command(attempt, prepared, writing),
                output,
                heavy=_imports_torch(attempt),
                check=attempt.check,
            )
        finally:
            os.close(writing)  # only the trainer's processes keep the pipe open
        with process, attempt.context.use.sampling(relay.use, process.pid):
            crash_point(CrashPoint.TRAINER_SPAWNED)
            yield process


def _trainer_command(attempt: ClaimedAttempt, prepared: PreparedJob, events: int) -> Command:
    directory = attempt.directory
    argv = [*attempt.context.trainer_argv, str(directory.job_file)]
    environment = _environment(attempt, directory.home) | {EVENTS_FD_VARIABLE: str(events)}
    cage = attempt.context.cages.cage(
        environment,
        read=[directory.job_file, directory.model, directory.resume, prepared.dataset],
        write=[directory.run, directory.home, directory.dataset],
        program=attempt.context.trainer_argv,
    )
    return Command(argv, environment, directory.run, directory.attempt, (events,), cage)


def _environment(attempt: ClaimedAttempt, home: Path) -> dict[str, str]:
    return trainer_environment(home, gpu=attempt.context.slot.visible_gpus, base=os.environ)


def _imports_torch(attempt: ClaimedAttempt) -> bool:
    return not is_null_trainer(attempt.spec)


def _finalize(
    attempt: ClaimedAttempt, trained: Conclusion, prepared: PreparedJob, output: IO[bytes]
) -> Conclusion:
    """Prove that stock Ultralytics can run the weights, and store the results of the training."""
    hold = attempt.lease.hold
    attempt.lease.write(lambda session: set_phase(session, hold, Phase.FINALIZING))
    crash_point(CrashPoint.FINALIZING_SET)
    proof = _prove(attempt, _weights_to_prove(attempt, trained.final), output)
    if isinstance(proof, Conclusion):
        return proof
    crash_point(CrashPoint.WEIGHTS_PROVED)
    kept = store_artifacts(attempt, trained.final, proof.checks)
    kept += store_final_validation(attempt, trained.final, prepared.dataset / DATASET)
    crash_point(CrashPoint.ARTIFACTS_STORED)
    return replace(trained, kept=kept)


def _weights_to_prove(attempt: ClaimedAttempt, final: FinalEvent | None) -> list[Path]:
    """Return every best*.pt to publish, and best.pt in any case: a missing one fails to load."""
    named = final.artifacts if final is not None else []
    weights = {file.name: file.path for file in named if file.kind is ArtifactKind.WEIGHTS}
    weights.pop(LAST, None)  # written in the same way, and chosen by no metric
    for path in weights.values():  # the proof opens it by its name, and must not wait at a pipe
        with opened_file(attempt.directory.run_files, path, most_bytes=WEIGHTS_BYTES):
            pass
    return [attempt.directory.run / path for path in ({BEST: BEST} | weights).values()]


def _prove(attempt: ClaimedAttempt, weights: list[Path], output: IO[bytes]) -> Verdict | Conclusion:
    """Run weights with stock Ultralytics in a separate process; a conclusion if they fail."""
    scratch = attempt.directory.new_folder()  # a training may have written anything to its own
    home, folder = scratch / "home", scratch / "portability"
    for each in (home, folder):
        each.mkdir()
    prove = null_check if is_null_trainer(attempt.spec) else portability_check
    check = prove(weights, _environment(attempt, home), home / "verdict.json")
    cage = attempt.context.cages.cage(check.env, read=[attempt.directory.run], write=[home, folder])
    command = Command(check.argv, check.env, folder, attempt.directory.attempt, cage=cage)
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
