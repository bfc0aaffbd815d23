"""Prepares a Python process for the next start of a server, then is as if it had never been there.

The interpreter imports this as `sitecustomize`, before it runs its command, because the folder of this file is
the first in PYTHONPATH. In the folder lie:

    words       what the command line of the right process ends with, each word followed by a NUL
    original    PYTHONPATH as it was; missing if it was not set
    claim       whoever removes it is the process that this is about
    log         which modules are looked for, and where they are; once it is removed, nothing is written any more
    learned     such a log of an earlier process; only for one that is to be prepared
    trial       whoever removes it decides: the process, that it ends since it differs, or the proxy, that it serves
    unlike      in what it differs, once it has decided so
    go, said    pipes from and to the proxy; likewise

A process with `learned` imports what that names and waits before any code of the user is run. Only what is
loaded already is used here, so that nothing is loaded that the command would not load.
"""

import _frozen_importlib
import _imp
import _thread
import _warnings
import builtins
import os
import stat
import sys

FOLDER = os.path.dirname(__file__)
STANDARD = os.path.dirname(os.__file__)
PACKAGES = [path for path in sys.path if os.path.basename(path) in ("site-packages", "dist-packages")]
INSTALLED = tuple(os.path.join(path, "") for path in [STANDARD, *PACKAGES])
# Events that tell of changes to what packages can see of the process or of the disk.
AUDITED = frozenset(["open", "os.putenv", "os.unsetenv", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink"])
# As many files a process notes that it has opened.
NOTED = 1000


class Unfit(BaseException):
    """This process would not be what a plain start is."""


def read(name):
    try:
        with open(os.path.join(FOLDER, name), "rb") as file:
            return os.fsdecode(file.read())
    except OSError:
        return None


def is_installed(place):
    return place in ("built-in", "frozen") or place.startswith(INSTALLED)


def place_of(spec):
    """Where a module is; several places for a package without a file of its own, nothing for no module."""
    if spec is None:
        return ""
    if spec.origin is not None:
        return str(spec.origin)
    return os.pathsep.join(map(str, spec.submodule_search_locations or ["unknown"]))


def is_right_process():
    """Whether this is the process that speaks with the client, not a wrapper or a tool that it runs."""
    words = (read("words") or "").split("\0")[:-1]
    given = getattr(sys, "orig_argv", [])[-len(words) :] if words else []
    if not given or len(given) == len(sys.orig_argv):
        return False
    same = os.path.basename(given[0]) == os.path.basename(words[0]) and given[1:] == words[1:]
    return same and stat.S_ISFIFO(os.fstat(0).st_mode) and stat.S_ISFIFO(os.fstat(1).st_mode)


def claim():
    try:
        os.unlink(os.path.join(FOLDER, "claim"))
    except OSError:
        return False
    return True


def restore_environment():
    original = read("original")
    if original is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = original


def restore_path():
    if FOLDER in sys.path:
        sys.path.remove(FOLDER)
    sys.path_importer_cache.pop(FOLDER, None)


def own_sitecustomize():
    """Imports the user's module of this name, whose place was taken. Gives what is wrong, if anything is."""
    del sys.modules["sitecustomize"]
    try:
        import sitecustomize
    except Exception as error:
        return error
    return None


def own_folders():
    """The folders that code may be imported from and that packages are not installed into."""
    folders = [path for path in sys.path if not os.path.join(path, "").startswith(INSTALLED)]
    script = sys.argv[0] if sys.argv else ""
    if getattr(sys.flags, "safe_path", False):
        return folders
    if script == "-m":
        return [*folders, os.getcwd()]
    script = os.path.realpath(script)
    return [*folders, script if os.path.isdir(script) else os.path.dirname(script)]


