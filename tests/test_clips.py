"""Films read back frame by frame, and where each pixel of a strip comes from."""

import builtins
import io

import av
import numpy as np
import pytest
from etils import epath
from PIL import Image

from jaxgen import clips
from jaxgen.errors import UserError


def numbered(n, length, height=2, width=3, channels=1):
    """Frame t of clip i is all 10 (i + 1) + t."""
    value = 10 * np.arange(1, n + 1)[:, None] + np.arange(length)
    return np.broadcast_to(value[..., None, None, None], (n, length, height, width, channels)).astype(np.uint8)


def film(path):
    with av.open(str(path)) as file:
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
        return float(file.streams.video[0].average_rate), np.stack(frames)


def test_strip_by_hand():
    found = clips.strip(numbered(2, 3, 1, 2))[..., 0]
    g = 64
    expected = [
        [g, g, g, g, g, g, g, g, g, g],
        [g, 10, 10, g, 11, 11, g, 12, 12, g],
        [g, g, g, g, g, g, g, g, g, g],
        [g, 20, 20, g, 21, 21, g, 22, 22, g],
        [g, g, g, g, g, g, g, g, g, g],
    ]
    np.testing.assert_array_equal(found, expected)


def test_tiled_runs_all_at_once():
    found = clips.tiled(numbered(4, 3), columns=2)
    assert found.shape == (3, 2 * 3 + 1, 2 * 4 + 1, 1)
    assert found[:, 1, 1, 0].tolist() == [10, 11, 12]
    assert found[:, 4, 5, 0].tolist() == [40, 41, 42]


def test_gif_of_a_grid(tmp_path):
    path = clips.write_gif(epath.Path(tmp_path / "a.gif"), numbered(4, 3), fps=10)
    with Image.open(path) as found:
        assert found.n_frames == 3
        assert found.info["duration"] == 100
        assert found.size == (18, 14)


@pytest.mark.parametrize("channels", [1, 3])
def test_film_holds_what_was_written(tmp_path, channels):
    frames = np.zeros((5, 7, 9, channels), np.uint8)
    for t in range(5):
        frames[t, :, : 2 * t] = 200
    path = clips.write_mp4(epath.Path(tmp_path / "a.mp4"), frames, fps=8)
    rate, found = film(path)
    assert rate == 8
    assert found.shape == (5, 28, 36, 3)
    expected = np.repeat(frames.repeat(4, 1).repeat(4, 2), 3 // channels, axis=-1)
    np.testing.assert_allclose(found.astype(int), expected.astype(int), atol=12)


def test_colours_come_back(tmp_path):
    colours = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (90, 120, 30)], np.uint8)
    frames = np.broadcast_to(colours[:, None, None], (4, 8, 8, 3))
    _, found = film(clips.write_mp4(epath.Path(tmp_path / "a.mp4"), frames))
    np.testing.assert_allclose(found.mean((1, 2)), colours, atol=6)


def test_odd_sizes_get_one_more_row_and_column(tmp_path):
    frames = np.full((3, 17, 19, 1), 100, np.uint8)
    _, found = film(clips.write_mp4(epath.Path(tmp_path / "a.mp4"), frames, scale=1))
    assert found.shape == (3, 18, 20, 3)
    np.testing.assert_allclose(found.astype(int), 100, atol=3)


def test_the_same_frames_give_the_same_file(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), np.uint8)
    path, other, files = epath.Path(tmp_path / "a.mp4"), [], set()
    for size in range(1, 201):  # each among other arrays, since what the memory held before is what once showed
        other = [*other[-20:], np.full(997 * size, size, np.uint8)]
        files.add(clips.write_mp4(path, frames).read_bytes())
    assert len(files) == 1
    assert av.open(io.BytesIO(files.pop())).streams.video[0].codec_context.pix_fmt == "yuv420p"


def test_av_is_asked_for_where_it_is_missing(tmp_path, monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "av":
            raise ImportError("No module named 'av'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UserError, match=r'pip install "jaxgen\[video\]"'):
        clips.write_mp4(epath.Path(tmp_path / "a.mp4"), numbered(1, 3)[0])
