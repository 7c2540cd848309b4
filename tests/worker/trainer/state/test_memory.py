import io
from typing import Any

import pytest
import torch

from worker.trainer.state.memory import SnapshotMemory


def a_state(*, with_gradients: bool = True) -> dict[str, Any]:
    weight = torch.rand(4, 3, 2, 2).to(memory_format=torch.channels_last)
    return {
        "model": {"weight": weight, "steps": torch.tensor(7), "empty": torch.empty(0)},
        "gradients": {"weight": torch.rand(4, 3, 2, 2).half()} if with_gradients else {},
        "optimizer": {"groups": [{"lr": 0.1, "betas": (0.9, 0.99), "nesterov": True}]},
        "random": {"torch": torch.get_rng_state(), "packed": b"123", "none": None},
    }


def saved(state: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


class TestSnapshotMemory:
    def test_a_copy_is_saved_as_the_same_bytes(self) -> None:
        state = a_state()

        copied = SnapshotMemory().copy_of(state)

        assert saved(copied) == saved(state)

    def test_a_copy_stays_as_it_was_when_the_training_goes_on(self) -> None:
        state = a_state()
        before = saved(state)

        copied = SnapshotMemory().copy_of(state)
        for part in ("model", "gradients"):
            for tensor in state[part].values():
                tensor.zero_()
        state["optimizer"]["groups"][0]["lr"] = 0.2
        state["optimizer"]["groups"].append({})

        assert saved(copied) == before

    def test_the_next_copy_uses_the_same_memory(self) -> None:
        memory = SnapshotMemory()
        first = memory.copy_of(a_state())["model"]["weight"].data_ptr()

        second = memory.copy_of(a_state())["model"]["weight"].data_ptr()

        assert second == first

    @pytest.mark.parametrize("order", [(False, True, False), (True, False, True)])
    def test_a_state_that_grows_or_shrinks_is_copied_as_well(self, order: tuple[bool, ...]) -> None:
        memory, sizes = SnapshotMemory(), []

        for with_gradients in order:
            state = a_state(with_gradients=with_gradients)
            assert saved(memory.copy_of(state)) == saved(state)
            sizes.append(memory.size)

        assert sizes == sorted(sizes)
        assert sizes[-1] == sizes[1]

    def test_a_part_of_a_larger_tensor_is_copied_without_the_rest(self) -> None:
        whole = torch.rand(10, 10)
        parts = {"row": whole[3], "column": whole[:, 3], "spread": whole[:1].expand(10, 10)}

        copied = SnapshotMemory().copy_of(parts)

        assert all(torch.equal(copied[name], part) for name, part in parts.items())
        assert copied["row"].untyped_storage().nbytes() == 40

    def test_a_tensor_that_is_not_strided_or_needs_a_gradient_keeps_its_kind(self) -> None:
        state = {"sparse": torch.eye(3).to_sparse(), "trained": torch.rand(3, requires_grad=True)}
        memory = SnapshotMemory()
        memory.copy_of(state)

        copied = memory.copy_of(state)

        assert copied["sparse"].is_sparse
        assert torch.equal(copied["sparse"].to_dense(), torch.eye(3))
        assert copied["trained"].requires_grad
        assert torch.equal(copied["trained"], state["trained"])

    def test_a_state_without_room_is_refused_and_a_smaller_one_is_copied_afterwards(self) -> None:
        memory, state = SnapshotMemory(), a_state()

        with pytest.raises(MemoryError):
            memory.copy_of({"weight": torch.empty(10**15, device="meta")})

        assert saved(memory.copy_of(state)) == saved(state)
