import dataclasses
import itertools

import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.levels import sprites
from jaxgen.levels.art import tile_images
from jaxgen.levels.render import draw_path, render
from jaxgen.levels.tiles import TILESETS


@pytest.mark.parametrize("tileset", TILESETS.values(), ids=TILESETS)
def test_tiles_look_different(tileset):
    images = tile_images(tileset)
    assert images.shape == (tileset.size, 16, 16, 3)
    assert images.dtype == np.uint8
    for a, b in itertools.combinations(images.astype(int), 2):
        assert (abs(a - b).sum(-1) > 60).mean() > 0.05, "a stranger must tell them apart"


def test_pictures_are_the_same_every_time():
    tileset = TILESETS["crafter"]
    first = tile_images(tileset).copy()
    tile_images.cache_clear()
    np.testing.assert_array_equal(tile_images(tileset), first)
    with pytest.raises(ValueError, match="read-only"):
        tile_images(tileset)[0, 0, 0, 0] = 1


def test_sprites_have_the_size_of_a_tile():
    rows = [value.split() for name, value in vars(sprites).items() if name.isupper()]
    assert rows
    assert all(len(sprite) == 16 and {len(row) for row in sprite} == {16} for sprite in rows)


def test_halves_of_a_pipe_meet():
    images = tile_images(TILESETS["mario"])
    for left, right in (images[6:8], images[8:10]):
        assert abs(left[5:, -1].astype(int) - right[5:, 0]).max() < 20  # the shading goes on
        np.testing.assert_array_equal(left[12, 0], images[0, 0, 0])  # sky beside it
        np.testing.assert_array_equal(right[12, -1], images[0, 0, 0])


def test_no_pictures_for_other_tilesets():
    other = dataclasses.replace(TILESETS["mario"], name="chess")
    with pytest.raises(UserError, match="no pictures of the tiles of chess; there are for mario, sokoban, crafter"):
        tile_images(other)


def test_render_puts_each_tile_in_its_place():
    tileset = TILESETS["sokoban"]
    level = np.array([[0, 1, 2], [3, 4, 5]], np.uint8)
    picture = render(level, tileset)
    assert picture.shape == (32, 48, 3)
    assert picture.dtype == np.uint8
    for (row, column), tile in np.ndenumerate(level):
        part = picture[16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
        np.testing.assert_array_equal(part, tile_images(tileset)[tile])


def test_draw_path():
    picture = np.zeros((64, 96, 3), np.uint8)
    drawn = draw_path(picture, [(1, 0), (1, 3), (3, 3)], colour=(0, 0, 200), alpha=1.0)
    assert not picture.any()
    assert drawn.shape == picture.shape
    for y, x in ((24, 32), (24, 44), (40, 56)):  # along the line, through the cells' middles
        assert drawn[y, x].tolist() == [0, 0, 200]
    assert drawn[24, 3].tolist() == [70, 220, 90]  # start
    assert drawn[56, 56].tolist() == [235, 50, 50]  # end
    assert not drawn[:15].any()
    assert not drawn[:, 70:].any()


def test_draw_path_edge_cases():
    picture = np.full((32, 32, 3), 9, np.uint8)
    np.testing.assert_array_equal(draw_path(picture, []), picture)
    assert (draw_path(picture, [(0, 0)])[8, 8] != 9).any()
    outside = draw_path(picture, [(-2, 0), (0, 5)])  # a jump above the top, and a run out of the right side
    assert outside.shape == picture.shape
    np.testing.assert_array_equal(draw_path(picture, [(0, 0), (1, 1)], alpha=0.0), picture)
