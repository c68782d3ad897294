"""Local folders for what is unfinished, which do not outlive their process for long.

A folder is in use for as long as its maker holds the lock on the file `owner` in it. The system
lets go of the lock when the process ends, however it ends; the next one to make such a folder then
removes it.
"""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OWNER = "owner"


@contextmanager
def scratch_folder(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """A new folder for as long as the block runs.

    Args:
        prefix: of its name; folders of this prefix that nobody uses any more are removed.
        parent: where it is made; the system's temporary folder when None.
    """
    parent = parent or Path(tempfile.gettempdir())
    remove_abandoned(prefix, parent)
    # Locked before it gets a name that `remove_abandoned` looks at.
    hidden = Path(tempfile.mkdtemp(prefix=f".{prefix}", dir=parent))
    with (hidden / _OWNER).open("w") as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        folder = parent / hidden.name.removeprefix(".")
        hidden.rename(folder)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(prefix: str, parent: Path) -> None:
    """Remove folders of `scratch_folder` whose process is gone, of this user."""
    for owner in parent.glob(f"{prefix}*/{_OWNER}"):
        try:
            with owner.open() as file:
                if os.fstat(file.fileno()).st_uid != os.getuid():
                    continue
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(owner.parent, ignore_errors=True)
        except OSError:  # in use, or removed by another meanwhile
            continue


@contextmanager
def room_in(folder: Path) -> Iterator[None]:
    """Have a full disk say which one it is."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise OSError(
            errno.ENOSPC,
            f"{os.strerror(errno.ENOSPC)} in {folder.parent}, where parts are built; free some, or "
            "set TMPDIR to a folder on another disk",
        ) from error
