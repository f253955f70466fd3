"""Videos written here, of frames that are all of one value, which says which they are."""

import builtins

import numpy as np
import pytest
from etils import epath
from PIL import Image

from jaxgen import clips
from jaxgen.data import video_files
from jaxgen.data.heldout import split_indices
from jaxgen.errors import UserError

SHAPE = (4, 6, 6, 1)


def gif(path, values, size=(6, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *rest = [Image.new("L", size, value) for value in values]
    first.save(path, save_all=True, append_images=rest, duration=[20 * (1 + i) for i in range(len(values))])


def mp4(path, values, size=(16, 16)):
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = np.broadcast_to(np.array(values, np.uint8)[:, None, None, None], (len(values), *size, 1))
    clips.write_mp4(epath.Path(path), frames, scale=1)


def values(data):
    """[clips][frames]: the value of each frame, all of whose pixels are about alike."""
    image = data["image"].astype(int)
    assert np.ptp(image, axis=(2, 3, 4)).max() <= 2
    return image[:, :, 3, 3, 0]


def test_gifs_frame_by_frame(tmp_path):
    for i, name in enumerate("abc"):
        gif(tmp_path / f"{name}.gif", [60 * i + 5 * j for j in range(9)])
    train = split_indices(3, "train", "")
    expected = [[60 * i + 5 * (start + j) for j in range(4)] for i in train for start in (0, 2, 4)]
    assert values(video_files.read(tmp_path, SHAPE, "train")).tolist() == expected
    (held_out,) = split_indices(3, "test", "")
    expected = [[60 * held_out + 5 * (start + j) for j in range(4)] for start in (0, 4)]
    for split in ("test", "validation"):
        assert values(video_files.read(tmp_path, SHAPE, split)).tolist() == expected


def test_a_gif_is_drawn_frame_over_frame(tmp_path):
    """The second frame, as GIFs store it, is one changed corner; the rest shows through."""
    before = np.full((8, 8, 3), (200, 0, 0), np.uint8)
    after = before.copy()
    after[:4, :4] = (0, 0, 200)
    for name in "ab":
        first, second = Image.fromarray(before), Image.fromarray(after)
        first.save(tmp_path / f"{name}.gif", save_all=True, append_images=[second])
    found = video_files.read(tmp_path, (2, 8, 8, 3), "train")["image"]
    np.testing.assert_array_equal(found[0], [before, after])


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi"])
def test_films_by_av(tmp_path, suffix):
    for name in "ab":
        mp4(tmp_path / f"{name}.mp4", [10, 60, 110, 160, 210])
        (tmp_path / f"{name}.mp4").rename(tmp_path / f"{name}{suffix}")  # FFmpeg looks at the content
    found = values(video_files.read(tmp_path, SHAPE, "test"))
    np.testing.assert_allclose(found, [[10, 60, 110, 160]], atol=3)


def test_cut_to_the_shape_and_resized(tmp_path):
    frames = np.zeros((3, 8, 24, 3), np.uint8)
    frames[:, :, 8:16] = (0, 250, 0)  # the middle third, which is all that a square keeps
    for name in "ab":
        clips.write_mp4(epath.Path(tmp_path / f"{name}.mp4"), frames)
    found = video_files.read(tmp_path, (2, 4, 4, 3), "test")["image"]
    assert found.shape == (1, 2, 4, 4, 3)
    assert np.abs(found.astype(int) - [0, 250, 0]).max(initial=0) < 40
    assert np.abs(found[:, :, 1:3, 1:3].astype(int) - [0, 250, 0]).max(initial=0) < 12


def test_subfolders_are_classes_and_made_splits_are_kept(tmp_path):
    for split, kinds in {"train": ("run", "walk"), "test": ("walk",)}.items():
        for kind in kinds:
            gif(tmp_path / split / kind / "x.gif", [{"run": 10, "walk": 90}[kind] + j for j in range(6)])
    train = video_files.read(tmp_path, SHAPE, "train")
    assert train["label"].tolist() == [0, 0, 1, 1]
    assert train["label"].dtype == np.int32
    assert values(train)[:, 0].tolist() == [10, 12, 90, 92]
    assert video_files.read(tmp_path, SHAPE, "test")["label"].tolist() == [1]


def test_a_turned_film_stands_up(tmp_path, monkeypatch):
    """A phone's film says by how much its pictures are to be turned to the left; PyAV tells it by each frame."""

    class Frame:
        rotation = 90

        def to_ndarray(self, format):
            picture = np.zeros((6, 6, 3), np.uint8)
            picture[:, 5] = 250  # the last column becomes the first row
            return picture

    class Film:
        class streams:  # noqa: N801
            video = (1,)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def decode(self, video):
            return [Frame(), Frame()]

    class Av:
        FFmpegError = OSError

        @staticmethod
        def open(path):
            return Film()

    monkeypatch.setattr(video_files, "library", lambda: Av)
    for name in "ab":
        (tmp_path / f"{name}.mp4").touch()
    found = video_files.read(tmp_path, (2, 6, 6, 1), "test")["image"][0, 0, :, :, 0]
    assert (found[0] == 250).all()
    assert (found[1:] == 0).all()


def test_nothing_to_read(tmp_path):
    with pytest.raises(UserError, match="holds no videos"):
        video_files.read(tmp_path, SHAPE, "train")
    gif(tmp_path / "train" / "a.gif", range(6))
    with pytest.raises(UserError, match="a single video"):
        video_files.read(tmp_path, SHAPE, "train")
    gif(tmp_path / "train" / "b.gif", range(6))
    (tmp_path / "test").mkdir()
    with pytest.raises(UserError, match="test holds no videos"):
        video_files.read(tmp_path, SHAPE, "test")


@pytest.mark.parametrize(("frames", "says"), [(1, "one frame: it is a picture"), (3, "has 3 frames, fewer than the 4")])
@pytest.mark.parametrize("kind", [gif, mp4])
def test_too_short(tmp_path, kind, frames, says):
    for name in "ab":
        kind(tmp_path / f"{name}.{kind.__name__}", [60 * j for j in range(frames)])
    with pytest.raises(UserError, match=says):
        video_files.read(tmp_path, SHAPE, "train")


@pytest.mark.parametrize("name", ["a.mp4", "a.gif"])
@pytest.mark.parametrize("content", [b"", b"no video at all" * 50])
def test_unreadable_files_are_named(tmp_path, name, content):
    for file in (name, f"b{name[1:]}"):
        (tmp_path / file).write_bytes(content)
    with pytest.raises(UserError, match=rf"Cannot read the video .*[ab]\.{name[2:]}"):
        video_files.read(tmp_path, SHAPE, "train")


def test_sound_alone_is_no_video(tmp_path):
    import av

    for name in "ab":
        with av.open(str(tmp_path / f"{name}.mkv"), "w") as film:
            stream = film.add_stream("pcm_s16le", rate=8000)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
            frame.sample_rate = 8000
            film.mux(stream.encode(frame))
    with pytest.raises(UserError, match="it has no pictures"):
        video_files.read(tmp_path, SHAPE, "train")


def test_av_is_asked_for_where_it_is_missing(tmp_path, monkeypatch):
    for name in "ab":
        mp4(tmp_path / f"{name}.mp4", range(5))
        gif(tmp_path / "gifs" / f"{name}.gif", range(5))
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "av":
            raise ImportError("No module named 'av'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    assert len(video_files.read(tmp_path / "gifs", SHAPE, "train")["image"]) == 1
    with pytest.raises(UserError, match=r'pip install "jaxgen\[video\]"'):
        video_files.read(tmp_path, SHAPE, "train")


def test_the_last_frames_of_one_video(tmp_path):
    gif(tmp_path / "a.gif", [10, 60, 110, 160, 210], size=(9, 6))
    mp4(tmp_path / "a.mp4", [10, 60, 110, 160, 210])
    for name in ("a.gif", "a.mp4"):
        found = video_files.last_frames(tmp_path / name, (3, 6, 6, 1))
        assert (found.shape, found.dtype) == ((3, 6, 6, 1), np.uint8)
        np.testing.assert_allclose(found[:, 3, 3, 0], [110, 160, 210], atol=3)
    np.testing.assert_array_equal(video_files.last_frames(tmp_path / "a.gif", (5, 6, 6, 3))[0], np.full((6, 6, 3), 10))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gone.mp4", r"There is no video .*gone\.mp4"),
        ("one.gif", r"one\.gif has 1 frame, and 4 are needed\. Give a longer video"),
        ("three.mp4", r"three\.mp4 has 3 frames, and 4 are needed"),
        ("broken.mp4", r"Cannot read the video .*broken\.mp4 .*Repair it, or leave it out"),
        ("broken.gif", r"Cannot read the video .*broken\.gif"),
    ],
)
def test_a_video_that_gives_no_last_frames(tmp_path, name, says):
    gif(tmp_path / "one.gif", [10])
    mp4(tmp_path / "three.mp4", [10, 60, 110])
    for broken in ("broken.mp4", "broken.gif"):
        (tmp_path / broken).write_bytes(b"no video at all" * 50)
    with pytest.raises(UserError, match=says):
        video_files.last_frames(tmp_path / name, SHAPE)
