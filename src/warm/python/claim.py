"""Bootstrap for Python: prepares a process for the next start of a server and leaves no trace.

The interpreter imports this as `sitecustomize`, before it runs its command, because the folder of this file is
the first in PYTHONPATH. Files in the folder:

    words       last words of the server process's command line, each followed by a NUL
    original    previous value of PYTHONPATH; missing if it was not set
    port        port of a process that serves HTTP
    claim       the process that removes it is the server process
    log         notes: imported modules with their locations, opened files; its removal ends the notes
    learned     log of an earlier process; only for a standby
    trial       removed by the process when it ends because of a difference, or by the proxy when it keeps the process;
                only for a standby
    unlike      description of that difference
    go, said    pipes from and to the proxy; only for a standby

A process with `learned` imports the modules in it and waits before any code of the user runs. This file uses only
modules that are loaded already, so that it loads none that the command would not load.
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
# Audit events for changes to process or disk state that packages can see.
AUDITED = frozenset(["open", "os.putenv", "os.unsetenv", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink"])
# Maximum number of noted files per process.
NOTED = 1000


# Texts that differ between starts: the mark by which the proxy finds the process, and its port.
OF_START = []


class Unfit(BaseException):
    """The process would differ from a plain start."""


def read(name):
    try:
        with open(os.path.join(FOLDER, name), "rb") as file:
            return os.fsdecode(file.read())
    except OSError:
        return None


def is_installed(place):
    return place in ("built-in", "frozen") or place.startswith(INSTALLED)


def place_of(spec):
    """Returns the location of a module: several, joined, for a namespace package; empty for a missing module."""
    if spec is None:
        return ""
    if spec.origin is not None:
        return str(spec.origin)
    return os.pathsep.join(map(str, spec.submodule_search_locations or ["unknown"]))


def is_right_process():
    """Whether this is the server process, which communicates with the client, not a wrapper or a tool."""
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
    """Imports the user's `sitecustomize`, which this file shadows. Returns its exception, if any."""
    del sys.modules["sitecustomize"]
    try:
        import sitecustomize
    except Exception as error:
        return error
    return None


def own_folders():
    """Returns the folders to import from, without those for installed packages."""
    folders = [path for path in sys.path if not os.path.join(path, "").startswith(INSTALLED)]
    script = sys.argv[0] if sys.argv else ""
    if getattr(sys.flags, "safe_path", False):
        return folders
    if script == "-m":
        return [*folders, os.getcwd()]
    script = os.path.realpath(script)
    return [*folders, script if os.path.isdir(script) else os.path.dirname(script)]


