"""Music as piano rolls: MIDI files, sound and pictures of them."""
