"""Prepares a Python process for the next start of a server, then is as if it had never been there.

The interpreter imports this as `sitecustomize`, before it runs its command, because the folder of this file is
the first in PYTHONPATH. In the folder lie:

    words       what the command line of the right process ends with, each word followed by a NUL
    original    PYTHONPATH as it was; missing if it was not set
    claim       whoever removes it is the process that this is about
    log         which modules are looked for, and where they are; once it is removed, nothing is written any more
    learned     such a log of an earlier process; only for one that is to be prepared
    go, said    pipes from and to the proxy; likewise

A process with `learned` imports what that names and waits before any code of the user is run. Only what is
loaded already is used here, so that nothing is loaded that the command would not load.
"""

import _frozen_importlib
import _thread
import os
import stat
import sys

FOLDER = os.path.dirname(__file__)
STANDARD = os.path.dirname(os.__file__)
PACKAGES = [path for path in sys.path if os.path.basename(path) in ("site-packages", "dist-packages")]
INSTALLED = tuple(os.path.join(path, "") for path in [STANDARD, *PACKAGES])


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


class Finding:
    """Takes the place of what importlib looks for modules with, and notes what is looked for and where it is.

    Nothing that a program would look at tells of it, and what is loaded already does not come by here.
    """

    def __init__(self):
        self.find = _frozen_importlib._find_spec
        self.process = os.getpid()
        self.path = None
        self.check = None
        _frozen_importlib._find_spec = self.look

    def look(self, name, path, target=None):
        spec = self.find(name, path, target)
        if _frozen_importlib._find_spec == self.look:
            if os.getpid() == self.process:
                place = place_of(spec)
                self.note(name, place)
                if self.check is not None:
                    self.check(name, place)
            else:
                self.end()
        return spec

    def note(self, name, place):
        lines = ""
        if self.path != sys.path:
            self.path = list(sys.path)
            lines = "".join("#own\t%s\n" % folder for folder in own_folders())
        self.write("%s%s\t%s\n" % (lines, name, place))

    def write(self, lines):
        try:
            # Not kept open: programs count on the numbers of their files, and some close all there are.
            log = os.open(os.path.join(FOLDER, "log"), os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except OSError:
            return self.end()
        try:
            os.write(log, os.fsencode(lines))
        finally:
            os.close(log)

    def end(self):
        _frozen_importlib._find_spec = self.find


class Standby:
    """What is imported before the proxy says that the command is to be run."""

    def __init__(self, learned, finding):
        self.finding = finding
        self.places = {}
        self.folders = []
        self.linked = set()
        self.tried = set()
        self.problem = None
        for line in learned.splitlines():
            name, _, place = line.partition("\t")
            if name == "#own":
                self.folders.append(place)
            elif name == "#linked":
                self.linked.add(place)
            elif not name.startswith("#"):
                self.places.setdefault(name, place)
        self.said = os.open(os.path.join(FOLDER, "said"), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self.go = os.open(os.path.join(FOLDER, "go"), os.O_RDONLY | os.O_CLOEXEC)

    def run(self):
        self.say("claimed %d" % os.getpid())
        self.wait_for(b"i")
        try:
            wrong = self.load()
            self.say("ready")
            self.wait_for(b"g")
            self.look_for_namesakes()
        except BaseException as error:
            self.say("unfit %s" % (error if isinstance(error, Unfit) else "importing ahead failed: %r" % error))
            os._exit(0)
        self.say("runs")
        os.close(self.said)
        os.close(self.go)
        return wrong

    def say(self, text):
        try:
            os.write(self.said, os.fsencode(text.replace("\n", " ")[:500] + "\n"))
        except OSError:
            os._exit(0)

    def wait_for(self, word):
        # The end of the pipe is the end of the proxy.
        if os.read(self.go, 1) != word:
            os._exit(0)

    def load(self):
        threads = _thread._count()
        self.finding.check = self.check
        wrong = own_sitecustomize()
        for name, place in self.places.items():
            # What was tried and is not there was given up by those who import it.
            if name not in self.tried and name not in sys.modules and self.is_ready_made(name):
                __import__(name)
        self.finding.check = None
        if self.problem is not None:
            raise self.problem
        if _thread._count() > threads:
            raise Unfit("importing ahead starts threads")
        if "__warningregistry__" in globals():
            raise Unfit("a module warns whoever imports it")
        self.look_for_namesakes()
        return wrong

    def is_ready_made(self, name):
        """Whether a module and the packages around it are installed ones."""
        if name in sys.modules:
            return True
        if name in self.linked:
            return False
        places = self.places.get(name, "").split(os.pathsep)
        around = name.rpartition(".")[0]
        return all(map(is_installed, places)) and (not around or self.is_ready_made(around))

    def check(self, name, place):
        self.tried.add(name)
        known = self.places.get(name)
        if os.path.isfile(place) and not is_installed(place):
            self.problem = Unfit("a package imports %s, which is no package" % place)
            raise self.problem
        if name not in self.linked and (known is None and (not place or is_installed(place)) or known == place):
            return
        self.problem = Unfit("%s was at %r and would come from %r" % (name, known, place))
        raise self.problem

    def look_for_namesakes(self):
        """A module beside the script wins over an installed one, but nobody looked there for it."""
        names = {name.partition(".")[0] for name in self.tried}
        for folder in {*self.folders, *own_folders()}:
            try:
                entries = os.listdir(folder)
            except OSError:
                continue
            for entry in entries:
                stem, _, end = entry.partition(".")
                path = os.path.join(folder, entry)
                if stem in names and (
                    end in ("py", "pyc") or end.endswith("so") or os.path.isfile(os.path.join(path, "__init__.py"))
                ):
                    raise Unfit("%s comes before the module of that name" % path)


def main():
    right = is_right_process() and claim()
    restore_path()
    if not right:
        return own_sitecustomize()
    restore_environment()
    finding = Finding()
    finding.write("#interpreter\t%s\n" % sys.executable)
    finding.write("#interpreter\t%s\n" % os.path.join(sys.prefix, "pyvenv.cfg"))
    for path in INSTALLED:
        finding.write("#installed\t%s\n" % path)
    learned = read("learned")
    return own_sitecustomize() if learned is None else Standby(learned, finding).run()


problem = main()
if problem is not None:
    # That there is none is what `site` expects in most cases, and the rest it tells.
    raise problem
