"""Clips to pictures and films: side by side in motion, or frame by frame in a strip."""

import io
from fractions import Fraction
from types import ModuleType

import numpy as np
from etils import epath

from jaxgen import files, preview
from jaxgen.errors import needed


def library() -> ModuleType:
    """The package av (PyAV); `UserError` where it is missing."""
    with needed("av", "films", "video"):
        import av
    return av


def tiled(clips: np.ndarray, columns: int = 0) -> np.ndarray:
    """uint8 clips [N, T, H, W, C] -> frames [T, .., .., C] in which all run beside each other, as `preview.grid`."""
    return np.stack([preview.grid(clips[:, t], columns) for t in range(clips.shape[1])])


def strip(clips: np.ndarray) -> np.ndarray:
    """uint8 clips [N, T, H, W, C] -> one picture [.., .., C]: a row for each clip, its frames from left to right."""
    return preview.grid(clips.reshape(-1, *clips.shape[2:]), columns=clips.shape[1])


def write_gif(path: epath.Path, clips: np.ndarray, fps: float = 12) -> epath.Path:
    """uint8 clips [N, T, H, W, 1 or 3], beside each other, to a GIF that repeats."""
    return preview.write_gif(path, list(tiled(clips)), 1 / fps)


def write_mp4(path: epath.Path, frames: np.ndarray, fps: float = 12, scale: int = 4) -> epath.Path:
    """uint8 frames [T, H, W, 1 or 3] to an MP4 file (H.264), each pixel `scale` wide, so that players do not blur it.

    H.264 stores colour at half the resolution: an odd height or width gets one more row or column, repeated from its
    edge. Raises `UserError` where the package av is missing.
    """
    av, frames = library(), np.asarray(frames)
    if frames.shape[-1] == 1:
        frames = np.repeat(frames, 3, axis=-1)
    frames = frames.repeat(scale, axis=1).repeat(scale, axis=2)
    odd = [(0, size % 2) for size in frames.shape[1:3]]
    frames = np.pad(frames, ((0, 0), *odd, (0, 0)), mode="edge")
    buffer = io.BytesIO()  # through memory, since FFmpeg knows no gs:// paths
    with av.open(buffer, "w", format="mp4") as film:
        # The same frames give the same file: by several threads, how many bits a frame gets depends on which is faster;
        # by x264's macroblock tree (core 165, with its assembly), on what was in memory before: 1 to 13% of small
        # films differed.
        options = {"crf": "12", "threads": "1", "x264-params": "mbtree=0"}
        stream = film.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"  # the one kind every player knows
        for frame in frames:
            film.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        film.mux(stream.encode(None))
    return files.write(path, buffer.getvalue())
