"""Pictures by hand: where each pixel goes, and that files hold what was drawn."""

import numpy as np
import pytest
from etils import epath
from PIL import Image

from jaxgen import preview
from jaxgen.errors import UserError


def numbered(n, height=2, width=3, channels=1):
    """Image i is all i + 1."""
    return np.stack([np.full((height, width, channels), i + 1, np.uint8) for i in range(n)])


def test_grid_by_hand():
    found = preview.grid(numbered(3, 1, 2), columns=2)[..., 0]
    g = 64
    expected = [
        [g, g, g, g, g, g, g],
        [g, 1, 1, g, 2, 2, g],
        [g, g, g, g, g, g, g],
        [g, 3, 3, g, g, g, g],
        [g, g, g, g, g, g, g],
    ]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("n", "rows", "columns"), [(1, 1, 1), (2, 1, 2), (5, 2, 3), (9, 3, 3), (64, 8, 8)])
def test_grid_is_nearly_square(n, rows, columns):
    assert preview.grid(numbered(n, channels=3)).shape == (rows * 3 + 1, columns * 4 + 1, 3)
    assert preview.grid(numbered(n), border=0).shape == (rows * 2, columns * 3, 1)


def test_rows_start_each_set_on_a_row_of_its_own():
    found = preview.rows([numbered(2), 10 * numbered(3)], columns=2)
    # A grid of one row (4 high), a white gap of 6, a grid of two rows (7 high).
    assert found.shape == (4 + 6 + 7, 9, 1)
    assert (found[4:10] == 255).all()
    assert (found[1:3, 1:4] == 1).all()
    assert (found[11:13, 1:4] == 10).all()
    assert (found[14:16, 1:4] == 30).all()


def test_scatter_puts_each_image_at_its_point():
    points = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [1.0, 2.0]])
    found = preview.scatter(50 * numbered(4, 3, 3), points, size=21)[..., 0]
    assert found.shape == (21, 21)
    corners = found[1, 1], found[1, -2], found[-2, 1], found[-2, -2]
    assert corners == (50, 100, 150, 200)
    assert found[10, 10] == 0
    assert (found > 0).sum() == 4 * 9


def test_scatter_keeps_the_brighter_where_images_overlap_and_outliers_on_the_canvas():
    points = np.concatenate([np.zeros((200, 2)), [[1e6, -1e6]]])
    found = preview.scatter(numbered(201, 2, 2), points, size=10)
    assert (found[..., 0] > 0).sum() == 8
    assert found.max() == 201
    assert (found[found > 0] >= 200).all()


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.parametrize("channels", [1, 3])
def test_png_holds_the_picture(tmp_path, channels):
    picture = np.random.default_rng(0).integers(0, 256, (4, 5, channels)).astype(np.uint8)
    path = preview.write_png(epath.Path(tmp_path) / "new" / "a.png", picture)
    np.testing.assert_array_equal(pixels(path).reshape(picture.shape), picture)
    preview.write_png(path, picture, scale=2)  # over the old one
    big = pixels(path).reshape(8, 10, channels)
    np.testing.assert_array_equal(big, picture.repeat(2, axis=0).repeat(2, axis=1))
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]  # nothing partial stays


def test_gif_has_every_frame_and_repeats(tmp_path):
    frames = [np.full((2, 3, 1), value, np.uint8) for value in (0, 100, 255)]
    with Image.open(preview.write_gif(epath.Path(tmp_path) / "a.gif", frames, seconds=0.2)) as image:
        assert image.n_frames == 3
        assert image.info["loop"] == 0
        assert image.info["duration"] == 200
        assert image.size == (6, 4)
        for i, value in enumerate((0, 100, 255)):
            image.seek(i)
            assert abs(np.asarray(image.convert("L")).mean() - value) < 2


def test_a_dot_in_a_stem_ends_nothing(tmp_path):
    assert preview.named(epath.Path(tmp_path / "out-v1.2"), ".png") == epath.Path(tmp_path / "out-v1.2.png")


def test_a_folder_for_files_is_new(tmp_path):
    folder = preview.new_folder(epath.Path(tmp_path / "a" / "b"))
    assert folder.is_dir()
    assert preview.new_folder(folder) == folder  # empty
    (folder / "old.png").touch()
    with pytest.raises(UserError, match="is not empty"):
        preview.new_folder(folder)
    with pytest.raises(UserError, match=r"old\.png is a file"):
        preview.new_folder(folder / "old.png")
