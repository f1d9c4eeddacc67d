"""Files that are written whole or not at all, at every call that a disk can refuse or a process can die in."""

import errno
import multiprocessing
import os
import signal
import stat
import threading

import pytest

from genius_kit import files
from genius_kit.errors import InvalidParameter, WriteFailed
from tests.faulty_disk import KILLS, FaultyDisk, faulty_disk, scratch_files

OLD, NEW = b"old " * 100, b"new content " * 1000


def whole(path):
    """Write the new content in one step."""
    files.write_whole(path, NEW)


def streamed(path):
    """Write the new content in pieces, more than the buffer holds."""
    with files.whole_file(path) as file:
        for _ in range(3):
            file.write(NEW * 60)


def dying(path, write, at, fault):
    """Write in this process with a disk that kills it."""
    with faulty_disk(at, fault):
        write(path)


def child(*arguments):
    """Run `dying` in a process of its own and return its exit code."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.test_files"])
    process = context.Process(target=dying, args=arguments)
    process.start()
    process.join(60)
    return process.exitcode


def test_what_is_written_is_there(tmp_path):
    """Bytes, and text as UTF-8; a file that was there is replaced, and nothing else is in the folder."""
    files.write_whole(tmp_path / "a", "zwölf")
    files.write_whole(tmp_path / "a", "elf, größer")
    assert (tmp_path / "a").read_bytes() == "elf, größer".encode()
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize(
    ("private", "mask", "mode"), [(True, 0o022, 0o600), (False, 0o022, 0o644), (False, 0o027, 0o640)]
)
def test_modes(tmp_path, private, mask, mode):
    """A private file is for its owner alone; another has what the umask leaves, also where an older one had less."""
    path = tmp_path / "a"
    path.touch(0o400)
    before = os.umask(mask)
    try:
        files.write_whole(path, b"x", private=private)
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize("write", [whole, streamed])
@pytest.mark.parametrize("fault", ["ENOSPC", "EIO", "ENOSPC+", "EIO+", "half-ENOSPC"])
def test_a_disk_that_refuses_at_any_call(tmp_path, write, fault):
    """The old content or the new, never a mix, an error of ours exactly where it failed, and no scratch file."""
    path, outcomes = tmp_path / "a", []
    for at in range(1, 100):
        path.write_bytes(OLD)
        with faulty_disk(at, fault) as disk:
            try:
                write(path)
                failed = None
            except WriteFailed as error:
                failed = str(error)
        content = path.read_bytes()
        assert scratch_files(tmp_path) == []
        assert (content == OLD) == bool(failed)
        assert content == OLD or set(content.split()) == {b"new", b"content"}
        outcomes.append(failed)
        if len(disk.calls) < at:
            break
    assert outcomes[-1] is None
    assert len([failed for failed in outcomes if failed]) >= 3  # write, fsync, replace
    assert all(
        f"{path} cannot be written" in failed and "same command again" in failed for failed in filter(None, outcomes)
    )


@pytest.mark.parametrize("write", [whole, streamed])
def test_short_writes_go_on(tmp_path, write):
    """A disk that takes one byte where it was given many gets the rest as well."""
    write(tmp_path / "wanted")
    for at in range(1, 6):
        with faulty_disk(at, "short"):
            write(tmp_path / "a")
        assert (tmp_path / "a").read_bytes() == (tmp_path / "wanted").read_bytes()


@pytest.mark.parametrize("write", [whole, streamed])
def test_killed_at_any_call(tmp_path, write):
    """The old content or the new, whatever the point; the next write clears away what was left."""
    path, seen, left = tmp_path / "a", set(), 0
    write(path)
    new = path.read_bytes()
    for at in range(1, 20):
        codes = set()
        for fault in KILLS:
            path.write_bytes(OLD)
            codes.add(child(path, write, at, fault))
            assert path.read_bytes() in (OLD, new)
            seen.add(path.read_bytes())
            left += len(scratch_files(tmp_path))
            files.write_whole(path, OLD)
            assert scratch_files(tmp_path) == []
        assert codes in ({-signal.SIGKILL}, {0})
        if codes == {0}:
            break
    assert seen == {OLD, new}
    assert left >= 5


def test_scratch_files_of_the_living_stay(tmp_path):
    """Writers of one file do not take away one another's scratch files: the last to end wins, whole."""
    with files.whole_file(tmp_path / "a") as slow:
        slow.write(b"slow")
        files.write_whole(tmp_path / "a", b"quick")
        assert len(scratch_files(tmp_path)) == 1
        assert (tmp_path / "a").read_bytes() == b"quick"
    assert (tmp_path / "a").read_bytes() == b"slow"
    assert os.listdir(tmp_path) == ["a"]


def test_many_writers_of_one_file(tmp_path):
    """Sixteen threads that write one file again and again: always one of the contents, no error, nothing left."""
    path, errors = tmp_path / "a", []
    contents = [bytes([65 + number]) * 5000 for number in range(16)]
    files.write_whole(path, contents[0])

    def write(content):
        try:
            for _ in range(10):
                files.write_whole(path, content)
                assert path.read_bytes() in contents
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert os.listdir(tmp_path) == ["a"]


def test_other_hidden_files_are_left_alone(tmp_path):
    """Only what a write of that very file has left is swept away."""
    kept = [".a.part", ".a.01234567.partly", ".a.b.01234567.part", ".b.01234567.part", ".a.0123456g.part"]
    for name in [*kept, ".a.01234567.part"]:
        (tmp_path / name).touch()
    files.write_whole(tmp_path / "a", b"x")
    assert sorted(os.listdir(tmp_path)) == sorted([*kept, "a"])


def test_what_a_library_makes_of_the_refusal_is_not_told(tmp_path):
    """An error that a library raises in place of the disk's is replaced by ours; one of its own passes."""

    def masked():
        with files.whole_file(tmp_path / "a") as file:
            try:
                file.write(NEW * 1000)
            except OSError as error:
                raise RuntimeError("writer failed") from error

    with pytest.raises(WriteFailed, match="No space left"), faulty_disk(1, "ENOSPC+"):
        masked()
    with pytest.raises(RuntimeError, match="no reason"), files.whole_file(tmp_path / "a"):
        raise RuntimeError("no reason")
    assert os.listdir(tmp_path) == []


def test_a_lock_that_is_taken_is_no_refusal():
    """An OSError without a number, such as filelock's Timeout, passes as it is."""
    with pytest.raises(TimeoutError), files.explained("a"):
        raise TimeoutError("taken")


@pytest.mark.parametrize("fault", ["ENOSPC", "EIO", "ENOSPC+", "half-ENOSPC"])
def test_appending_is_whole_or_not_at_all(tmp_path, fault):
    """A line that could not be written is cut off again, so that the next one follows the one before."""
    path = tmp_path / "a"
    for at in (1, 2):
        path.write_bytes(OLD)
        descriptor = files.open_for_append(path)
        with faulty_disk(at, fault), pytest.raises(OSError, match=r"space|error"):
            files.append(descriptor, NEW)
        assert path.read_bytes() == OLD
        files.append(descriptor, NEW)
        os.close(descriptor)
        assert path.read_bytes() == OLD + NEW


def test_a_file_where_a_folder_should_be(tmp_path):
    """The error names the place, what is wrong with it, and that all before is safe."""
    (tmp_path / "a").touch()
    with pytest.raises(WriteFailed, match=r"a/b.*(Not a directory).*safe"):
        files.make_folder(tmp_path / "a" / "b")
    with pytest.raises(WriteFailed, match=r"a/b.*(Not a directory).*safe"):
        files.write_whole(tmp_path / "a" / "b", b"")


def test_the_stand_in_counts_what_durable_calls(tmp_path):
    """A write in one step is a write, a wait, a rename and a wait for the folder."""
    with faulty_disk() as disk:
        files.write_whole(tmp_path / "a", b"x")
    assert disk.calls == ["write", "fsync", "replace", "fsync"]
    assert isinstance(disk, FaultyDisk)
    with pytest.raises(OSError, match="No space left") as caught:
        FaultyDisk(1, "ENOSPC").fsync(0)
    assert caught.value.errno == errno.ENOSPC


def test_a_lock_is_held_by_one_at_a_time(tmp_path):
    """Who finds it taken is told so in the words of the caller, after waiting; it is free when the block ends."""
    taken = InvalidParameter("somebody has it")
    with files.locked(tmp_path / "a.lock"):
        with pytest.raises(InvalidParameter, match="somebody has it"), files.locked(tmp_path / "a.lock", taken, 0.05):
            pass
        with pytest.raises(TimeoutError), files.locked(tmp_path / "a.lock", patience=0):
            pass
    with files.locked(tmp_path / "a.lock", taken, patience=0):
        pass


def test_a_folder_that_cannot_be_written_has_no_lock(tmp_path):
    """The refusal of the system says what is safe, as of any other file."""
    (tmp_path / "file").touch()
    with pytest.raises(WriteFailed, match="cannot be written"), files.locked(tmp_path / "file" / "a.lock"):
        pass
