import io
import sys

import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.music import midi
from jaxgen.music.roll import from_pitches, notes

mido = pytest.importorskip("mido")


def random_roll(seed=0, slices=40, share=0.05):
    roll = (np.random.default_rng(seed).uniform(size=(slices, 88)) < share).astype(np.uint8)
    roll[-1, 40] = 1  # so that silence at the end is none
    return roll


def file(*tracks, ticks=480, kind=1):
    """The content of a MIDI file whose tracks are (message type, note, velocity, time[, channel])."""
    made = mido.MidiFile(type=kind, ticks_per_beat=ticks)
    for track in tracks:
        made.tracks.append(mido.MidiTrack())
        for name, note, velocity, time, *channel in track:
            message = mido.Message(name, note=note, velocity=velocity, time=time, channel=channel[0] if channel else 0)
            made.tracks[-1].append(message)
    buffer = io.BytesIO()
    made.save(file=buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("grid", [1, 3, 4, 7, 96])
def test_a_written_roll_is_read_again(tmp_path, grid):
    roll = random_roll(grid)
    path = midi.write(tmp_path / "new" / "song.mid", roll, grid)
    np.testing.assert_array_equal(midi.read(path, grid), roll)
    assert [found.name for found in path.parent.iterdir()] == ["song.mid"]
    again = midi.read(path, 2 * grid) if grid < 96 else None
    if again is not None:
        np.testing.assert_array_equal(again, np.repeat(roll, 2, axis=0))


def test_an_independent_library_reads_the_same_notes(tmp_path):
    music21 = pytest.importorskip("music21")
    roll = random_roll(3)
    path = midi.write(tmp_path / "song.mid", roll, 4, bpm=72)
    score = music21.converter.parse(str(path), forceSource=True, quantizePost=False)
    found = []
    for element in score.flatten().notes:
        found += [(float(element.offset), pitch.midi, float(element.quarterLength)) for pitch in element.pitches]
    assert sorted(found) == sorted((n.first / 4, n.pitch, n.slices / 4) for n in notes(roll))
    (mark,) = score.flatten().getElementsByClass(music21.tempo.MetronomeMark)
    assert mark.number == pytest.approx(72, rel=1e-3)
    (metre,) = score.flatten().getElementsByClass(music21.meter.TimeSignature)
    assert metre.ratioString == "4/4"


def test_the_file_lasts_as_long_as_the_roll():
    roll = from_pitches([[60], [], [], []])
    made = mido.MidiFile(file=io.BytesIO(midi.to_bytes(roll, 2, bpm=60)))
    assert made.type == 1
    assert made.length == pytest.approx(2)
    np.testing.assert_array_equal(midi.from_bytes(midi.to_bytes(roll, 2), 2, "x"), roll[:1])  # its silent end is not


def test_notes_move_to_the_nearest_slice():
    track = [
        ("note_on", 60, 80, 59),  # 59 / 120 of a slice: to 0
        ("note_off", 60, 0, 100),  # 159: to 1
        ("note_on", 62, 80, 21),  # 180: to 2
        ("note_on", 62, 0, 119),  # 299, velocity 0 is an end: 2, but no note is shorter than a slice
        ("note_on", 64, 80, 61),  # 360: 3
        ("note_off", 99, 0, 120),  # of none
        ("note_off", 64, 0, 121),  # 601: 5
    ]
    expected = from_pitches([[60], [], [62], [64], [64]])
    np.testing.assert_array_equal(midi.from_bytes(file(track), 4, "x"), expected)
    double = [(name, note, velocity, 2 * time) for name, note, velocity, time in track]
    np.testing.assert_array_equal(midi.from_bytes(file(double, ticks=960), 4, "x"), expected)


def test_tracks_and_channels_are_one_roll_without_drums_and_pitches_beyond():
    one = [("note_on", 60, 80, 0), ("note_on", 36, 80, 0, 9), ("note_on", 20, 80, 0), ("note_on", 109, 80, 0)]
    one += [("note_off", 60, 0, 480), ("note_off", 36, 0, 960, 9)]
    # One key on two channels, each with its own end; struck twice; never ended.
    two = [
        ("note_on", 60, 80, 0, 1),
        ("note_on", 72, 80, 480, 1),
        ("note_on", 72, 80, 480, 1),
        ("note_off", 60, 0, 0, 1),
    ]
    two += [("note_off", 72, 0, 480, 1), ("note_on", 90, 1, 0, 2), ("note_off", 1, 0, 480, 2)]
    expected = from_pitches([[60], [60, 72], [72], [90]])
    np.testing.assert_array_equal(midi.from_bytes(file(one, two), 1, "x"), expected)


def test_a_key_sounds_until_the_last_channel_lets_it_go():
    track = [("note_on", 60, 80, 0, 0), ("note_on", 60, 80, 480, 1), ("note_off", 60, 0, 480, 0)]
    track += [("note_off", 60, 0, 960, 1)]
    np.testing.assert_array_equal(midi.from_bytes(file(track), 1, "x"), from_pitches([[60]] * 4))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"Cannot read x\.mid as a MIDI file \(it ends too early\)"),
        (b"hello, this is no MIDI", r"Cannot read x\.mid as a MIDI file \(MThd not found"),
        (file([("note_on", 60, 80, 0)])[:26], r"Cannot read x\.mid as a MIDI file"),
        (file(), r"x\.mid has no notes"),
        (file([("note_on", 36, 80, 0, 9), ("note_on", 10, 80, 0)]), r"x\.mid has no notes"),
        (file([("note_on", 60, 80, 0)], kind=2), r"x\.mid is a MIDI file of type 2"),
        (file([("note_on", 60, 80, 0)], ticks=-6400), r"x\.mid is timed in seconds"),
        (file([("note_on", 60, 80, 0)], ticks=0), r"x\.mid is timed in seconds"),
        (file([("note_on", 60, 80, 0), ("note_off", 60, 0, 2**27)]), r"x\.mid is 1,118,481 slices long, with 4"),
    ],
    ids=["empty", "text", "cut", "no tracks", "no keys", "type 2", "seconds", "no ticks", "long"],
)
def test_bad_files_are_named(tmp_path, content, message):
    path = tmp_path / "x.mid"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message.replace("x", f"{tmp_path}/x", 1)):
        midi.read(path, 4)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(UserError, match=r"Cannot read .*gone\.mid \(No such file"):
        midi.read(tmp_path / "gone.mid", 4)
    with pytest.raises(UserError, match=r"Cannot read .* \(Is a directory"):
        midi.read(tmp_path, 4)


def test_damaged_files_raise_nothing_else():
    good = midi.to_bytes(random_roll(1, 12), 4)
    rng = np.random.default_rng(0)
    read = 0
    for i in range(600):
        content = bytearray(good)
        if i % 3 == 0:
            content = content[: rng.integers(len(good))]
        else:
            end = len(good) if i % 3 == 1 else 60  # headers matter most
            for at in rng.integers(0, end, rng.integers(1, 5)):
                content[at] = rng.integers(256)
        try:
            roll = midi.from_bytes(bytes(content), 4, "x")
        except UserError:
            continue
        read += 1
        assert roll.dtype == np.uint8
        assert roll.any()
    assert 0 < read < 300


def test_bad_calls(monkeypatch):
    with pytest.raises(UserError, match=r"bpm.*, not 3"):
        midi.to_bytes(random_roll(), 4, bpm=3)
    with pytest.raises(UserError, match=r"grid.*, not 0"):
        midi.to_bytes(random_roll(), 0)
    with pytest.raises(UserError, match=r"grid.*, not 97"):
        midi.from_bytes(b"", 97, "x")
    with pytest.raises(UserError, match="0 and 1 alone"):
        midi.to_bytes(np.full((4, 88), 0.5), 4)
    monkeypatch.setitem(sys.modules, "mido", None)
    with pytest.raises(UserError, match=r'^mido is needed for MIDI files .*pip install "jaxgen\[music\]"'):
        midi.to_bytes(random_roll(), 4)
