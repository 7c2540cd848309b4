"""The body of a PATCH is appended at its offset, and compared with its checksum."""

import pytest

from tests.api.refusals import assert_refused
from tests.api.uploads.tus import (
    break_off,
    checksum,
    create,
    offset_of,
    patch,
    spooled,
    stored_bytes,
    upload,
)
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

CONTENT = bytes(range(256)) * 40


class TestChunks:
    def test_chunks_in_order_become_stored_bytes(self, shared_api: Api) -> None:
        path = create(shared_api, len(CONTENT))

        first = patch(shared_api, path, 0, CONTENT[:4000])
        second = patch(shared_api, path, 4000, CONTENT[4000:])

        assert (first.status_code, first.headers["Upload-Offset"]) == (204, "4000")
        assert (second.status_code, second.headers["Upload-Offset"]) == (204, str(len(CONTENT)))
        view = shared_api.client.get(path).json()
        assert view["state"] == "finished"
        assert stored_bytes(shared_api, view["sha256"], len(CONTENT)) == CONTENT
        assert view["id"] not in spooled(shared_api)

    def test_a_chunk_without_a_content_length_is_received(self, shared_api: Api) -> None:
        path = create(shared_api, len(CONTENT))

        answer = patch(shared_api, path, 0, iter([CONTENT[:5000], CONTENT[5000:]]))

        assert answer.headers["Upload-Offset"] == str(len(CONTENT))

    @pytest.mark.parametrize("offset", [0, 99, 101])
    def test_u2_a_chunk_at_another_offset_is_refused_with_the_right_one(
        self, shared_api: Api, offset: int
    ) -> None:
        path = create(shared_api, 1000)
        patch(shared_api, path, 0, CONTENT[:100])

        answer = patch(shared_api, path, offset, CONTENT[:50])

        assert_refused(answer, status=409, slug="upload-offset-mismatch")
        assert answer.json()["offset_bytes"] == offset_of(shared_api, path) == 100

    @pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
    def test_u4_more_bytes_than_announced_are_refused_and_not_kept(
        self, shared_api: Api, *, announced: bool
    ) -> None:
        path = create(shared_api, 100)

        body = CONTENT[:101]
        answer = patch(shared_api, path, 0, body if announced else iter([body]))

        assert_refused(answer, status=413, slug="body-too-large")
        assert offset_of(shared_api, path) == 0

    def test_an_empty_chunk_at_the_end_of_a_finished_upload_changes_nothing(
        self, shared_api: Api
    ) -> None:
        view = upload(shared_api, CONTENT)

        answer = patch(shared_api, view["links"]["self"], len(CONTENT), b"")

        assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, str(len(CONTENT)))

    def test_more_bytes_for_a_finished_upload_are_refused(self, shared_api: Api) -> None:
        view = upload(shared_api, CONTENT)

        answer = patch(shared_api, view["links"]["self"], len(CONTENT), iter([b"more"]))

        assert_refused(answer, status=413, slug="body-too-large")

    @pytest.mark.parametrize("media_type", ["application/octet-stream", "application/json", ""])
    def test_a_chunk_of_another_media_type_is_refused(
        self, shared_api: Api, media_type: str
    ) -> None:
        path = create(shared_api, 100)

        answer = patch(shared_api, path, 0, CONTENT[:100], Content_Type=media_type)

        assert_refused(answer, status=415, slug="unsupported-media-type")
        assert offset_of(shared_api, path) == 0

    @pytest.mark.parametrize("offset", ["", "-1", "x", "1.5"])
    def test_a_chunk_without_a_valid_offset_is_refused(self, shared_api: Api, offset: str) -> None:
        path = create(shared_api, 100)

        answer = patch(shared_api, path, 0, CONTENT[:100], Upload_Offset=offset)

        assert_refused(answer, status=422, slug="validation-error", pointer="header/Upload-Offset")


class TestChecksum:
    @pytest.mark.parametrize("algorithm", ["sha256", "sha1", "md5"])
    def test_a_chunk_with_its_checksum_is_kept(self, shared_api: Api, algorithm: str) -> None:
        path = create(shared_api, 1000)

        answer = patch(
            shared_api, path, 0, CONTENT[:600], Upload_Checksum=checksum(algorithm, CONTENT[:600])
        )

        assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, "600")

    def test_u3_nothing_of_a_damaged_chunk_is_kept_and_it_can_be_sent_again(
        self, shared_api: Api
    ) -> None:
        path = create(shared_api, len(CONTENT))
        patch(shared_api, path, 0, CONTENT[:100])
        right = checksum("sha256", CONTENT[100:])
        damaged = bytes([CONTENT[100] ^ 1]) + CONTENT[101:]

        answer = patch(shared_api, path, 100, damaged, Upload_Checksum=right)

        assert_refused(answer, status=460, slug="checksum-mismatch")
        assert offset_of(shared_api, path) == 100
        again = patch(shared_api, path, 100, CONTENT[100:], Upload_Checksum=right)
        assert again.status_code == 204
        view = shared_api.client.get(path).json()
        assert stored_bytes(shared_api, view["sha256"], len(CONTENT)) == CONTENT

    def test_nothing_is_kept_of_a_chunk_with_a_checksum_whose_connection_broke(
        self, shared_api: Api
    ) -> None:
        path = create(shared_api, 1000)
        headers = {"Upload-Checksum": checksum("sha1", CONTENT[:600])}

        break_off(shared_api, path, 0, CONTENT[:300], headers)

        assert offset_of(shared_api, path) == 0

    @pytest.mark.parametrize(
        "value", ["", "sha512 YQ==", "sha1", "sha1 %%%", "sha1 YQ==", "SHA1 YQ==", "crc32 AAAAAA=="]
    )
    def test_a_checksum_that_cannot_be_compared_is_refused(
        self, shared_api: Api, value: str
    ) -> None:
        path = create(shared_api, 1000)

        answer = patch(shared_api, path, 0, CONTENT[:600], Upload_Checksum=value)

        assert_refused(answer, status=400, slug="unsupported-checksum")
        assert offset_of(shared_api, path) == 0
