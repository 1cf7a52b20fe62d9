"""A file is written whole or not at all."""

import os
import stat

import pytest

from ensemble_1d import _files
from ensemble_1d._files import write_text
from ensemble_1d.errors import ArtifactError

NOT_AS_ROOT = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind this user"
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("as_text", [True, False])
def test_text_is_written_as_it_is(tmp_path, as_text):
    """UTF-8, no other line ends, the path back, and nothing left beside it."""
    path = tmp_path / "näme.h"
    written = write_text(str(path) if as_text else path, "a\r\nb\nü\n")
    assert written == path
    assert path.read_bytes() == "a\r\nb\nü\n".encode()
    assert names(tmp_path) == ["näme.h"]


def test_an_existing_file_is_replaced(tmp_path):
    """A shorter text leaves nothing of a longer one."""
    path = tmp_path / "m.h"
    path.write_text("long before", encoding="utf-8")
    write_text(path, "new")
    assert path.read_text(encoding="utf-8") == "new"
    assert names(tmp_path) == ["m.h"]


def test_relative_paths_are_those_of_the_working_directory(tmp_path, monkeypatch):
    """The path comes back as it was given."""
    monkeypatch.chdir(tmp_path)
    assert str(write_text("m.h", "x")) == "m.h"
    assert names(tmp_path) == ["m.h"]


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o755])
def test_an_existing_file_keeps_its_mode(tmp_path, mode):
    """Whoever could read or run it still can, and nobody else."""
    path = tmp_path / "m.h"
    path.write_text("old", encoding="utf-8")
    path.chmod(mode)
    write_text(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_a_new_file_has_the_mode_that_open_would_give(tmp_path, umask, mode):
    """Temporary files are private; the file that takes their place follows the umask."""
    before = os.umask(umask)
    try:
        path = write_text(tmp_path / "m.h", "x")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_link_keeps_pointing_at_its_target(tmp_path):
    """The target is replaced, and the link stays a link; a target that is not there yet is made."""
    target, link = tmp_path / "target.h", tmp_path / "link.h"
    link.symlink_to("target.h")
    for text in ("first", "second"):
        write_text(link, text)
        assert link.is_symlink()
        assert target.read_text(encoding="utf-8") == text
    assert names(tmp_path) == ["link.h", "target.h"]


def test_a_link_into_another_folder_writes_there(tmp_path):
    """The temporary file stands beside the target, so that both are on one disk."""
    (tmp_path / "far").mkdir()
    (tmp_path / "near").mkdir()
    link = tmp_path / "near" / "m.h"
    link.symlink_to(tmp_path / "far" / "m.h")
    write_text(link, "x")
    assert (names(tmp_path / "far"), names(tmp_path / "near")) == (["m.h"], ["m.h"])


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("exists", [True, False])
def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch, step, exists):
    """A full disk at the last moment changes nothing, leaves nothing, and is told with its reason and a remedy."""
    path = tmp_path / "m.h"
    if exists:
        path.write_text("old", encoding="utf-8")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_files.os, step, fail)
    with pytest.raises(ArtifactError, match=r"cannot write '.*m\.h': No space left on device; give a file") as caught:
        write_text(path, "new")
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value.__cause__, OSError)
    assert names(tmp_path) == (["m.h"] if exists else [])
    assert not exists or path.read_text(encoding="utf-8") == "old"


def test_an_interruption_leaves_nothing(tmp_path, monkeypatch):
    """Control-C passes through, without a temporary file."""

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(_files.os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "m.h", "x")
    assert names(tmp_path) == []


def test_text_that_is_no_utf8_leaves_nothing(tmp_path):
    """A lone surrogate cannot be written; the old file stays."""
    path = tmp_path / "m.h"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "new \ud800")
    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["m.h"]


@pytest.mark.parametrize("place", ["no/folder/m.h", "file/m.h", "folder", "folder/", ".", "n" * 300])
def test_a_place_that_cannot_hold_a_file_is_named(tmp_path, place):
    """A missing folder, a file in the place of a folder, a folder in the place of the file, a name too long."""
    (tmp_path / "file").write_text("old", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    path = f"{tmp_path}/{place}"
    with pytest.raises(ArtifactError) as caught:
        write_text(path, "x")
    assert repr(path) in str(caught.value)
    assert str(caught.value).endswith("; give a file in an existing folder you may write to")
    assert names(tmp_path) == ["file", "folder"]
    assert names(tmp_path / "folder") == []


def test_a_loop_of_links_is_named(tmp_path):
    """Links that lead to each other end nowhere."""
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(ArtifactError, match="cannot write"):
        write_text(tmp_path / "one", "x")
    assert names(tmp_path) == ["one", "two"]


@NOT_AS_ROOT
def test_a_folder_without_permission_is_named(tmp_path):
    """Nothing is written beside the target either."""
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o500)
    with pytest.raises(ArtifactError, match="Permission denied"):
        write_text(folder / "m.h", "x")
    assert names(folder) == []


def test_a_refused_temporary_file_is_named(tmp_path, monkeypatch):
    """A folder that takes no new file is told as such, whoever asks."""

    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(_files.tempfile, "mkstemp", refuse)
    with pytest.raises(ArtifactError, match="Permission denied; give a file in an existing folder you may write to"):
        write_text(tmp_path / "m.h", "x")
    assert names(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    """What is no file has its content written to it: nothing takes the place of a device."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert write_text(path, "content") == path
        assert os.read(handle, 100) == b"content"
    finally:
        os.close(handle)
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert names(tmp_path) == ["pipe"]
