import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from sqlalchemy import select

from app.core.database import Database
from app.core.storage import ArtifactStore
from app.models.bring_in import add_model, add_official, wait_for_inspection
from app.models.digests import OFFICIAL_DIGESTS
from app.models.download import DownloadSource
from app.models.errors import (
    BadDigest,
    BadModelName,
    DownloadFailed,
    ModelNameTaken,
    NotWeights,
    UnknownTask,
    WrongDigest,
)
from app.models.inspection import accept_model
from app.models.repository import model_of
from app.models.tables import Model, ModelSource, ModelState
from tests.models.builders import FINDINGS, a_model, a_ready_model, a_refused_model, hold_of

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

WEIGHTS = b"PK\x03\x04" + b"weights" * 1000
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "yolo26n.pt"
    path.write_bytes(WEIGHTS)
    return path


class WebServer:
    """Serves one body for every path and records the requested paths."""

    def __init__(self, body: bytes, announced: int | None, status: int) -> None:
        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(status)
                if announced is not None:
                    self.send_header("Content-Length", str(announced))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.asked = asked
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/assets"


@pytest.fixture
def serve() -> Iterator[Callable[..., WebServer]]:
    """Return a function that starts a server; `announced` is its Content-Length (default: true)."""
    servers: list[WebServer] = []

    def start(body: bytes = WEIGHTS, announced: int | None = -1, status: int = 200) -> WebServer:
        server = WebServer(body, len(body) if announced == -1 else announced, status)
        threading.Thread(target=server.http.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.http.shutdown()
        server.http.server_close()


def models_in(database: Database) -> list[tuple[str, str | None, ModelSource, str]]:
    with database.read() as unit:
        rows = unit.session.scalars(select(Model).order_by(Model.name))
        return [(row.name, row.task, row.source, row.sha256) for row in rows]


def finish(database: Database, model_id: str) -> None:
    hold = hold_of(database, model_id)
    with database.write() as unit:
        accept_model(unit.session, hold, FINDINGS)


def brought_in(database: Database, reference: str) -> Model:
    with database.read() as unit:
        found = model_of(unit.session, (), reference)
    assert found is not None
    return found


class TestAddModel:
    def test_a_file_with_an_official_name_is_found_by_it_with_its_task(
        self, database: Database, store: ArtifactStore, weights: Path
    ) -> None:
        add_model(database, store, file=weights)

        model = brought_in(database, "yolo26n.pt")
        assert (model.task, model.sha256) == ("detect", DIGEST)
        assert model.state is ModelState.INSPECTING
        assert store.exists(DIGEST)

    def test_another_name_waits_for_what_its_inspection_finds(
        self, database: Database, store: ArtifactStore, weights: Path
    ) -> None:
        model = add_model(database, store, file=weights, name="ours.pt")

        assert (model.state, model.task) == (ModelState.INSPECTING, None)

    def test_a_task_that_does_not_exist_is_refused(
        self, database: Database, store: ArtifactStore, weights: Path
    ) -> None:
        with pytest.raises(UnknownTask):
            add_model(database, store, file=weights, name="ours.pt", task="track")

        assert models_in(database) == []

    def test_a_name_and_a_task_of_ones_own_are_kept(
        self, database: Database, store: ArtifactStore, weights: Path
    ) -> None:
        model = add_model(database, store, file=weights, name="ours.pt", task="segment")

        assert brought_in(database, "ours.pt").task == "segment"
        assert brought_in(database, model.id).name == "ours.pt"

    def test_the_same_file_again_changes_nothing(
        self, database: Database, store: ArtifactStore, weights: Path
    ) -> None:
        first = add_model(database, store, file=weights)

        second = add_model(database, store, file=weights)

        assert second.id == first.id
        assert len(models_in(database)) == 1

    def test_a_name_is_never_moved_to_other_bytes(
        self, database: Database, store: ArtifactStore, weights: Path
    ) -> None:
        add_model(database, store, file=weights)
        weights.write_bytes(WEIGHTS + b"other")

        with pytest.raises(ModelNameTaken):
            add_model(database, store, file=weights)

        assert brought_in(database, "yolo26n.pt").sha256 == DIGEST

    def test_a_name_whose_weights_were_refused_is_free_for_others(
        self, database: Database, store: ArtifactStore, weights: Path
    ) -> None:
        refused = a_refused_model(database, "ours.pt")

        model = add_model(database, store, file=weights, name="ours.pt", task="detect")

        assert (model.id, model.state, model.sha256) == (refused.id, ModelState.INSPECTING, DIGEST)
        assert (model.message, model.task) == (None, "detect")
        assert model.attempt == refused.attempt

    @pytest.mark.parametrize(
        "name", ["../x.pt", "x.yaml", ".pt", "a b.pt", "x.pt\n", "a" * 97 + ".pt"]
    )
    def test_a_name_that_no_job_could_give_is_refused(
        self, database: Database, store: ArtifactStore, weights: Path, name: str
    ) -> None:
        with pytest.raises(BadModelName):
            add_model(database, store, file=weights, name=name, task="detect")

    def test_a_bare_pickle_is_refused_unread(
        self, database: Database, store: ArtifactStore, weights: Path
    ) -> None:
        weights.write_bytes(b"\x80\x02cos\nsystem\n")

        with pytest.raises(NotWeights):
            add_model(database, store, file=weights)

    def test_a_missing_file_is_refused(
        self, database: Database, store: ArtifactStore, tmp_path: Path
    ) -> None:
        with pytest.raises(NotWeights):
            add_model(database, store, file=tmp_path / "yolo26n.pt")


class TestWaitForInspection:
    def test_an_inspected_model_is_not_waited_for(self, database: Database) -> None:
        model = a_ready_model(database, "ours.pt")

        assert wait_for_inspection(database, model, seconds=60).state is ModelState.READY

    def test_waiting_ends_when_another_process_has_inspected_the_model(
        self, database: Database
    ) -> None:
        model = a_model(database, "ours.pt")
        finding = threading.Timer(0.1, finish, args=(database, model.id))
        finding.start()

        seen = wait_for_inspection(database, model, seconds=60)

        assert seen.state is ModelState.READY
        finding.join()

    def test_a_model_that_nobody_looks_at_is_given_back_as_it_is(self, database: Database) -> None:
        model = a_model(database, "ours.pt")

        assert wait_for_inspection(database, model, seconds=0.1).state is ModelState.INSPECTING


class TestAddOfficial:
    def test_official_weights_are_downloaded_under_their_name(
        self, database: Database, store: ArtifactStore, serve: Callable[..., WebServer]
    ) -> None:
        server = serve()

        add_official(database, store, name="yolo26n-seg.pt", source=DownloadSource(server.url, ()))

        official = ("yolo26n-seg.pt", "segment", ModelSource.OFFICIAL, DIGEST)
        assert models_in(database) == [official]
        assert server.asked == ["/assets/yolo26n-seg.pt"]
        assert b"".join(store.open_range(DIGEST, 0, len(WEIGHTS))) == WEIGHTS

    def test_weights_that_are_here_are_not_asked_for_again(
        self, database: Database, store: ArtifactStore, serve: Callable[..., WebServer]
    ) -> None:
        server = serve()
        first = add_official(
            database, store, name="yolo26n.pt", source=DownloadSource(server.url, ())
        )

        second = add_official(
            database, store, name="yolo26n.pt", source=DownloadSource(server.url, ())
        )

        assert second.id == first.id
        assert len(server.asked) == 1

    def test_bytes_of_the_known_digest_are_accepted(
        self, database: Database, store: ArtifactStore, serve: Callable[..., WebServer]
    ) -> None:
        known = {"yolo26n.pt": DIGEST}

        add_official(
            database,
            store,
            name="yolo26n.pt",
            source=DownloadSource(serve().url, ()),
            digests=known,
        )

        assert brought_in(database, "yolo26n.pt").sha256 == DIGEST
        assert brought_in(database, "yolo26n.pt").vouched

    def test_weights_without_a_digest_are_unvouched_until_the_operator_gives_it(
        self, database: Database, store: ArtifactStore, serve: Callable[..., WebServer]
    ) -> None:
        source = DownloadSource(serve().url, ())
        first = add_official(database, store, name="yolo26n.pt", source=source)

        again = add_official(database, store, name="yolo26n.pt", source=source, sha256=DIGEST)

        assert (first.vouched, again.vouched, again.id) == (False, True, first.id)

    @pytest.mark.parametrize(("sha256", "error"), [("0" * 64, WrongDigest), ("abc", BadDigest)])
    def test_a_digest_of_the_operator_is_checked(
        self,
        database: Database,
        store: ArtifactStore,
        serve: Callable[..., WebServer],
        weights: Path,
        sha256: str,
        error: type[Exception],
    ) -> None:
        source = DownloadSource(serve().url, ())

        with pytest.raises(error):
            add_official(database, store, name="yolo26n.pt", source=source, sha256=sha256)
        with pytest.raises(error):
            add_model(database, store, file=weights, sha256=sha256)

        assert models_in(database) == []

    def test_bytes_of_another_digest_leave_nothing(
        self, database: Database, store: ArtifactStore, serve: Callable[..., WebServer]
    ) -> None:
        known = {"yolo26n.pt": "0" * 64}

        with pytest.raises(WrongDigest):
            add_official(
                database,
                store,
                name="yolo26n.pt",
                source=DownloadSource(serve().url, ()),
                digests=known,
            )

        assert models_in(database) == []
        assert not store.exists(DIGEST)

    @pytest.mark.parametrize(
        ("body", "announced", "status"),
        [
            pytest.param(WEIGHTS[:2000], len(WEIGHTS), 200, id="cut"),
            pytest.param(WEIGHTS, None, 200, id="no-length"),
            pytest.param(b"not here", 8, 404, id="not-found"),
            pytest.param(b"broken", 6, 500, id="server-error"),
        ],
    )
    def test_an_answer_that_is_not_the_whole_file_leaves_nothing(
        self,
        database: Database,
        store: ArtifactStore,
        serve: Callable[..., WebServer],
        body: bytes,
        announced: int | None,
        status: int,
    ) -> None:
        server = serve(body, announced, status)

        with pytest.raises(DownloadFailed):
            add_official(database, store, name="yolo26n.pt", source=DownloadSource(server.url, ()))

        assert models_in(database) == []
        assert not store.exists(hashlib.sha256(body).hexdigest())

    def test_a_page_in_place_of_weights_leaves_nothing(
        self, database: Database, store: ArtifactStore, serve: Callable[..., WebServer]
    ) -> None:
        server = serve(b"<html>please sign in</html>")

        with pytest.raises(NotWeights):
            add_official(database, store, name="yolo26n.pt", source=DownloadSource(server.url, ()))

        assert models_in(database) == []

    def test_a_server_that_is_not_there_is_said(
        self, database: Database, store: ArtifactStore, serve: Callable[..., WebServer]
    ) -> None:
        server = serve()
        server.http.shutdown()
        server.http.server_close()

        with pytest.raises(DownloadFailed):
            add_official(database, store, name="yolo26n.pt", source=DownloadSource(server.url, ()))

    def test_official_weights_are_downloaded_over_https_only(
        self, database: Database, store: ArtifactStore
    ) -> None:
        with pytest.raises(DownloadFailed):
            add_official(
                database, store, name="yolo26n.pt", source=DownloadSource("file:///etc", ())
            )

    def test_a_name_that_is_not_official_is_not_asked_for(
        self, database: Database, store: ArtifactStore, serve: Callable[..., WebServer]
    ) -> None:
        server = serve()

        with pytest.raises(BadModelName):
            add_official(database, store, name="yolo99n.pt", source=DownloadSource(server.url, ()))

        assert server.asked == []

    def test_every_known_checksum_is_a_digest(self) -> None:
        assert all(len(bytes.fromhex(digest)) == 32 for digest in OFFICIAL_DIGESTS.values())
