"""Files are written all or nothing, whatever happens."""

import errno
import os
import stat

import pytest

from laconic.errors import OutputExists
from laconic.format import files
from laconic.format.files import replace_file, require_absent


def left_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_appears_when_all_is_written(tmp_path):
    path = tmp_path / "deep" / "down" / "out.bin"
    with replace_file(path) as file:
        file.write(b"all of it")
        file.seek(0)
        file.write(b"All")
        assert not path.exists()
    assert path.read_bytes() == b"All of it"
    assert left_in(path.parent) == ["out.bin"]


def test_mode_follows_the_mask_of_the_process(tmp_path):
    old = os.umask(0o027)
    try:
        with replace_file(tmp_path / "out") as file:
            file.write(b"x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o640


def test_an_existing_file_needs_force(tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with pytest.raises(OutputExists, match="--force"), replace_file(path):
        pytest.fail("the block must not run")
    assert path.read_bytes() == b"old"
    with replace_file(path, force=True) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_a_folder_is_never_replaced(tmp_path):
    for force in (False, True):
        with pytest.raises(OutputExists, match="folder"):
            require_absent(tmp_path, force=force)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_leaves_the_old_content(tmp_path, error):
    path = tmp_path / "out"
    path.write_bytes(b"old")

    def write_half():
        with replace_file(path, force=True) as file:
            file.write(b"half of the new")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_bytes() == b"old"
    assert left_in(tmp_path) == ["out"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_content(tmp_path, monkeypatch, call):
    path = tmp_path / "out"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, call, full)
    with pytest.raises(OSError, match="No space"), replace_file(path, force=True) as file:
        file.write(b"new")
    assert path.read_bytes() == b"old"
    assert left_in(tmp_path) == ["out"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_disk_that_fills_while_writing(tmp_path, monkeypatch):
    """Writes go to a device that is really full; the temporary file beside the target goes away all the same."""
    real = os.open

    def full(path, flags, mode=0o777):
        handle = real(path, flags, mode)
        if not str(path).endswith(".tmp"):
            return handle
        os.close(handle)
        return real("/dev/full", os.O_RDWR)

    monkeypatch.setattr(files.os, "open", full)
    with pytest.raises(OSError, match="No space"), replace_file(tmp_path / "out") as file:
        file.write(b"x" * 1_000_000)
    assert left_in(tmp_path) == []


def test_of_two_that_write_a_new_file_one_succeeds(tmp_path):
    path = tmp_path / "out"

    def both():
        with replace_file(path) as late:
            late.write(b"late")
            with replace_file(path) as early:
                early.write(b"early")

    with pytest.raises(OutputExists, match="exists"):
        both()
    assert path.read_bytes() == b"early"
    assert left_in(tmp_path) == ["out"]


def test_a_link_is_followed_and_a_long_name_is_no_hindrance(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "store" / "net")
    for path in (tmp_path / "link", tmp_path / ("n" * 250)):
        with replace_file(path) as file:
            file.write(b"all")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "store" / "net").read_bytes() == b"all"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_or_a_device_is_never_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with (
        pytest.raises(OutputExists, match="pipe is a device or a pipe; name a file"),
        replace_file(tmp_path / "pipe", force=True),
    ):
        pytest.fail("the block must not run")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
