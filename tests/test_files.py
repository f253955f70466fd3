import pytest

from jaxgen import files


def test_a_file_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    path = files.write(tmp_path / "new" / "v1.2", b"one")
    assert path.read_bytes() == b"one"

    class Full(type(path)):
        def write_bytes(self, content):
            super().write_bytes(content[:1])
            raise OSError("disk full")

    monkeypatch.setattr(files.epath, "Path", Full)
    with pytest.raises(OSError, match="disk full"):
        files.write(tmp_path / "new" / "v1.2", b"another")
    assert path.read_bytes() == b"one"
    monkeypatch.undo()
    assert files.write(str(path), b"two").read_bytes() == b"two"
    assert [file.name for file in path.parent.iterdir()] == ["v1.2"]  # nothing is left over
