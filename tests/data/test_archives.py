"""Archives of data sets: a folder as it is, an archive unpacked for a while, nothing outside."""

import io
import tarfile

import pytest

from jaxnets.data.archives import unpacked
from jaxnets.errors import JaxnetsError


def write_archive(path, name: str) -> None:
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = 5
        archive.addfile(member, io.BytesIO(b"hello"))


def test_an_archive_is_a_folder_for_a_while(tmp_path):
    write_archive(tmp_path / "set.tar.gz", "set/words.txt")
    with unpacked(tmp_path / "set.tar.gz") as folder:
        assert (folder / "set" / "words.txt").read_text() == "hello"
    assert not folder.exists()
    with unpacked(str(tmp_path)) as same:
        assert same == tmp_path
    assert tmp_path.exists()
    with unpacked(tmp_path / "none") as nowhere:  # whoever reads it says what it looked for
        assert nowhere == tmp_path / "none"


@pytest.mark.parametrize("name", ["../outside.txt", "/tmp/outside.txt"])
def test_nothing_lands_outside(tmp_path, name):
    write_archive(tmp_path / "set.tar.gz", name)
    try:
        with unpacked(tmp_path / "set.tar.gz") as folder:
            assert all(path.is_relative_to(folder) for path in folder.rglob("*"))
    except JaxnetsError as error:
        assert "cannot unpack" in str(error)
    assert not (tmp_path / "outside.txt").exists()


def test_a_file_that_is_no_archive(tmp_path):
    (tmp_path / "set.tar.gz").write_bytes(b"not at all")
    message = f"cannot unpack {tmp_path / 'set.tar.gz'}"
    with pytest.raises(JaxnetsError, match=message), unpacked(tmp_path / "set.tar.gz"):
        pass


def test_a_cut_archive(tmp_path):
    write_archive(tmp_path / "set.tar.gz", "words.txt")
    whole = (tmp_path / "set.tar.gz").read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(JaxnetsError, match="cannot unpack"), unpacked(tmp_path / "cut.tar.gz"):
        pass
