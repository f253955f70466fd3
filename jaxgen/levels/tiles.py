"""The tiles of each game: their numbers, characters and names."""

from dataclasses import dataclass

from jaxgen.errors import UserError


@dataclass(frozen=True)
class Tileset:
    """The tiles of one game. Tile i is written `chars[i]` and called `names[i]`."""

    name: str
    chars: str
    names: tuple[str, ...]
    solid: str  # characters of the tiles that the player cannot stand in
    ground: str  # character of the tile that pieces are put on

    @property
    def size(self) -> int:
        """How many tiles there are."""
        return len(self.chars)

    def numbers(self, *names: str) -> tuple[int, ...]:
        """The numbers of the tiles called `names`. Raises `UserError` for a name that there is not."""
        for name in names:
            if name not in self.names:
                raise UserError(f"{self.name} has no tile {name!r}; choose from {', '.join(self.names)}.")
        return tuple(self.names.index(name) for name in names)

    def legend(self) -> str:
        """One line for messages: each character in quotes, with its name."""
        return ", ".join(f"{char!r} {name}" for char, name in zip(self.chars, self.names, strict=True))


_MARIO = Tileset(  # characters of the Video Game Level Corpus (Summerville et al. 2016), "Super Mario Bros/smb.json"
    "mario",
    chars="-XS?QE<>[]oBb",
    names=(
        "empty",
        "solid ground",
        "breakable block",
        "full question block",
        "empty question block",
        "enemy",
        "pipe top left",
        "pipe top right",
        "pipe left",
        "pipe right",
        "coin",
        "cannon top",
        "cannon bottom",
    ),
    solid="XS?Q<>[]Bb",
    ground="-",
)

_SOKOBAN = Tileset(  # characters of Boxoban (Guez et al. 2018), which are those of XSokoban
    "sokoban",
    chars="# .$@*+",
    names=("wall", "floor", "goal", "box", "player", "box on goal", "player on goal"),
    solid="#$*",
    ground=" ",
)

_CRAFTER = Tileset(  # in the order of Crafter's own material numbers 1 to 10 (Hafner 2021); the characters are ours
    "crafter",
    chars="~.#:,T!cid",
    names=("water", "grass", "stone", "path", "sand", "tree", "lava", "coal", "iron", "diamond"),
    solid="~#Tcid",  # one can walk into lava, once
    ground=".",
)

TILESETS = {tileset.name: tileset for tileset in (_MARIO, _SOKOBAN, _CRAFTER)}
"""Every tileset, by its name."""
