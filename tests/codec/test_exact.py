"""Settings of kernels hold inside their block, and the user's own come back after it."""

import pytest
import torch

from codec.exact import exact_kernels, one_thread


def test_one_thread_inside_and_the_users_number_after() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    with pytest.raises(KeyError, match="inside 1"):
        _fail_on_one_thread()
    assert torch.get_num_threads() == 3
    torch.set_num_threads(before)


def _fail_on_one_thread() -> None:
    with one_thread():
        raise KeyError(f"inside {torch.get_num_threads()}")


def test_no_tf32_inside_and_the_users_choice_after() -> None:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark
    matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = True, True, True
    with exact_kernels(torch.device("cuda")):
        assert not matmul.allow_tf32
        assert not cudnn.allow_tf32
        assert not cudnn.benchmark
        assert cudnn.deterministic
    assert (matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark) == (True, True, True)
    matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = before
