import numpy as np
import pytest

from jaxgen.data.frames import check_clip_shape, check_split, windows
from jaxgen.errors import UserError


@pytest.mark.parametrize("shape", [(2, 1, 1, 1), (12, 32, 48, 3)])
def test_shapes_of_clips(shape):
    assert check_clip_shape(shape) == shape


@pytest.mark.parametrize("shape", [(32, 32, 3), (1, 32, 32, 3), (8, 32, 32, 4), (8, 0, 32, 1), (8, 32, 32, 3, 1)])
def test_no_clip_has_this_shape(shape):
    with pytest.raises(UserError, match=r"\(frames, height, width, channels\)"):
        check_clip_shape(shape)


def test_splits():
    check_split("validation")
    with pytest.raises(UserError, match="choose from train, validation, test"):
        check_split("dev")


def test_windows_overlap_for_training_alone():
    frames = np.arange(11)[:, None]
    assert windows(frames, 4, "train")[..., 0].tolist() == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7], [6, 7, 8, 9]]
    assert windows(list(frames), 4, "test")[..., 0].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert windows(frames[:4], 4, "validation").shape == (1, 4, 1)
    assert windows(frames[:3], 2, "train")[..., 0].tolist() == [[0, 1], [1, 2]]
