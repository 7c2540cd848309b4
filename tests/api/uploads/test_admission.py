"""Every upload is admitted before its bytes arrive: by its size, the disks, unfinished uploads."""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from pydantic import SecretStr

from app.core.free_space import DiskReserve
from app.settings import Settings
from app.settings.limits import Limits
from app.uploads import admission
from tests.api.datasets.uploading import names
from tests.api.refusals import assert_refused
from tests.api.uploads.tus import MIB, TUS, create, patch
from tests.worlds.rows import NO_JOB, a_job
from tests.worlds.server import NO_BROKER, Api

pytestmark = pytest.mark.integration

LIMIT = 40 * MIB


class Usage(NamedTuple):
    """What `shutil.disk_usage` returns."""

    total: int
    used: int
    free: int


@pytest.fixture
def settings(tmp_path: Path, sqlite_url: str) -> Settings:
    limits = Limits(dataset_archive_bytes=LIMIT, disk_reserve_bytes=8 * MIB)
    return Settings(
        home=tmp_path / "home",
        database_url=sqlite_url,
        broker_url=SecretStr(NO_BROKER),
        limits=limits,
    )


class Disk:
    """The disk that the server sees; a test sets its free bytes."""

    total = 1000 * MIB
    free = 0

    def usage(self, _: Path) -> Usage:
        return Usage(self.total, self.total - self.free, self.free)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(shutil, "disk_usage", disk.usage)
    return disk


def creation(api: Api, size: int) -> int:
    headers = {**TUS, "Upload-Length": str(size)}
    return api.client.post("/v1/uploads", headers=headers).status_code


class TestSize:
    def test_u4_a_resumable_upload_may_have_the_maximum_and_not_a_byte_more(self, api: Api) -> None:
        largest = creation(api, LIMIT)
        answer = api.client.post("/v1/uploads", headers={**TUS, "Upload-Length": str(LIMIT + 1)})

        assert largest == 201
        assert_refused(answer, status=413, slug="body-too-large")
        assert (answer.json()["limit_bytes"], answer.json()["size_bytes"]) == (LIMIT, LIMIT + 1)


class TestRoom:
    def test_an_upload_needs_room_in_spool_and_store_beside_the_reserve(
        self, api: Api, disk: Disk
    ) -> None:
        disk.free = (8 + 2 * 10) * MIB

        answer = api.client.post("/v1/uploads", headers={**TUS, "Upload-Length": str(10 * MIB + 1)})

        assert_refused(answer, status=507, slug="insufficient-storage")
        assert answer.json()["reserve_bytes"] == 8 * MIB
        assert answer.json()["needed_bytes"] == 2 * (10 * MIB + 1)
        assert creation(api, 10 * MIB) == 201

    def test_announced_bytes_count_as_used_until_the_upload_is_deleted(
        self, api: Api, disk: Disk
    ) -> None:
        disk.free = (8 + 2 * 10) * MIB
        path = create(api, 10 * MIB)

        refused = creation(api, MIB)
        api.client.delete(path, headers=TUS)

        assert (refused, creation(api, MIB)) == (507, 201)

    def test_bytes_that_arrived_are_counted_by_the_disk_alone(self, api: Api, disk: Disk) -> None:
        disk.free = (8 + 2 * 10) * MIB
        path = create(api, 10 * MIB)
        patch(api, path, 0, bytes(4 * MIB))
        disk.free -= 4 * MIB

        assert creation(api, 1) == 507
        disk.free += 2
        assert creation(api, 1) == 201

    def test_the_reserve_is_at_most_a_tenth_of_a_disk(self, api: Api, disk: Disk) -> None:
        disk.total, disk.free = 10 * MIB, 3 * MIB

        assert creation(api, MIB) == 201

    def test_an_announced_archive_is_refused_by_its_length(self, api: Api, disk: Disk) -> None:
        disk.free = (8 + 2) * MIB

        answer = api.client.post("/v1/datasets?name=x", content=bytes(2 * MIB))

        assert_refused(answer, status=507, slug="insufficient-storage")
        assert answer.headers["Connection"] == "close"
        assert names(api) == ["shapes"]

    def test_an_archive_of_unknown_length_is_refused_when_it_grows_too_large_for_the_disk(
        self, api: Api, disk: Disk
    ) -> None:
        disk.free = (8 + 2 * 3) * MIB

        answer = api.client.post("/v1/datasets?name=x", content=iter([bytes(MIB)] * 4))

        assert_refused(answer, status=507, slug="insufficient-storage")
        assert names(api) == ["shapes"]

    def test_an_archive_of_a_running_request_counts_as_used(self, api: Api, disk: Disk) -> None:
        disk.free = (8 + 2 * 10) * MIB

        with api.context.reservations.hold(10 * MIB):
            during = creation(api, MIB)

        assert (during, creation(api, MIB)) == (507, 201)


class TestUnfinished:
    def test_a_user_has_a_bounded_number_of_unfinished_uploads(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(admission, "MAX_UNFINISHED", 2)
        create(api, 10)
        second = create(api, 10)

        answer = api.client.post("/v1/uploads", headers={**TUS, "Upload-Length": "10"})
        patch(api, second, 0, bytes(10))

        assert_refused(answer, status=429, slug="too-many-uploads")
        assert answer.json()["limit"] == 2
        assert creation(api, 10) == 201


class TestReserve:
    @pytest.mark.parametrize(
        "path",
        ["/v1/jobs", "/v1/jobs/{job}/clone", "/v1/jobs/{job}/retry", "/v1/jobs/{job}/resume"],
    )
    def test_s3_no_job_is_queued_while_the_disk_has_only_its_reserve(
        self, api: Api, disk: Disk, path: str
    ) -> None:
        disk.free = 8 * MIB - 1
        body = api.spec() if path == "/v1/jobs" else {}

        answer = api.client.post(path.format(job=NO_JOB), json=body)

        assert_refused(answer, status=507, slug="insufficient-storage")
        assert answer.json()["free_bytes"] == disk.free

    def test_s3_no_version_is_made_while_the_disk_has_only_its_reserve(
        self, api: Api, disk: Disk
    ) -> None:
        disk.free = 8 * MIB - 1

        answer = api.client.post(f"/v1/datasets/{api.rows.dataset_id}/versions", json={})

        assert_refused(answer, status=507, slug="insufficient-storage")

    def test_s3_reads_cancels_and_deletions_go_on(self, api: Api, disk: Disk) -> None:
        disk.free = 100 * MIB
        job = a_job(api.database, api.rows)
        disk.free = 0

        read = api.client.get(f"/v1/jobs/{job}")
        cancelled = api.client.post(f"/v1/jobs/{job}/cancel")
        deleted = api.client.delete(f"/v1/jobs/{job}")

        assert [each.status_code for each in (read, cancelled, deleted)] == [200, 202, 200]

    def test_s3_the_disk_is_looked_at_at_most_once_a_second(
        self, tmp_path: Path, disk: Disk
    ) -> None:
        looks: list[Path] = []

        def look(path: Path) -> Usage:
            looks.append(path)
            return disk.usage(path)

        disk.free = 100 * MIB
        reserve = DiskReserve(frozenset({tmp_path}), 8 * MIB)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shutil, "disk_usage", look)
            for _ in range(5):
                reserve.require()

        assert looks == [tmp_path]
