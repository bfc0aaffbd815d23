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


class ProcessState:
    """The parts of a process that a package can see and the user's code can change, each under its name."""

    # Attributes of `sys` that programs replace.
    REPLACEABLE = ("stdin", "stdout", "stderr", "excepthook", "displayhook", "breakpointhook", "unraisablehook")

    def __init__(self):
        self.path = list(sys.path)
        # Known once the interpreter has put it at the beginning of `sys.path`.
        self.script_folder = None
        self.originals = {name: getattr(sys, name, None) for name in self.REPLACEABLE}
        self.builtins = dict(vars(builtins))
        self.names = set(sys.modules)
        self.put = {}
        self.written = 0

    def take(self):
        """Returns the value of each part. Costs some ten microseconds."""
        parts = {
            "the environment": (dict(environment()), dict(self.put)),
            "the working directory": working_directory(),
            "sys.path": self.path_without_script(),
            "sys.argv": sys.argv[1:],
            "the import hooks": (list(sys.meta_path), list(sys.path_hooks)),
            "warning filters": list(_warnings.filters),
            "an attribute of sys": [name for name, value in self.originals.items() if getattr(sys, name, None) is not value],
            "the recursion limit": sys.getrecursionlimit(),
            "a builtin": changed_names(self.builtins, vars(builtins)),
            "sys.modules": self.stubs(),
            "files": self.written,
        }
        if loaded("_locale"):
            parts["the locale"] = loaded("_locale").setlocale(loaded("_locale").LC_ALL)
        policy = getattr(loaded("asyncio.events"), "_event_loop_policy", None)
        if policy is not None:
            parts["the event loop policy"] = type(policy).__qualname__
        if loaded("logging"):
            root = loaded("logging").root
            parts["logging"] = (root.level, [type(it).__qualname__ for it in root.handlers], root.manager.disable)
        if loaded("_socket") and loaded("_socket").getdefaulttimeout() is not None:
            parts["the default timeout of sockets"] = loaded("_socket").getdefaulttimeout()
        return parts

    def path_without_script(self):
        """`sys.path` without the script's folder, which the interpreter adds after this file has run."""
        if self.script_folder is None and sys.path[1:] == self.path:
            self.script_folder = sys.path[0]
        if self.script_folder is not None and sys.path[:1] == [self.script_folder]:
            return sys.path[1:]
        return list(sys.path)

    def stubs(self):
        """The names of modules that nobody imported: somebody put them there, perhaps in place of others."""
        return sorted(name for name in sys.modules.keys() - self.names if not is_from_file(sys.modules[name]))

    def restore(self, parts):
        """Brings back what packages commonly change while they are imported."""
        values, self.put = dict(parts["the environment"][0]), dict(parts["the environment"][1])
        now = environment()
        for key in [key for key in now if key not in values]:
            del now[key]
            os.unsetenv(key)
        for key, value in values.items():
            if now.get(key) != value:
                now[key] = value
                os.putenv(key, value)
        self.put = dict(parts["the environment"][1])
        script = sys.path[: len(sys.path) - len(self.path_without_script())]
        sys.path[:] = [*script, *parts["sys.path"]]
        sys.meta_path[:], sys.path_hooks[:] = parts["the import hooks"]
        if _warnings.filters != parts["warning filters"]:
            _warnings.filters[:] = parts["warning filters"]
            getattr(_warnings, "_filters_mutated_lock_held", getattr(_warnings, "_filters_mutated", None))()

    RESTORED = {"the environment", "sys.path", "the import hooks", "warning filters", "sys.modules"}


def is_from_file(module):
    """Whether a module was loaded from a file, by whatever means. Asks it for no attribute, which might load more."""
    try:
        spec = object.__getattribute__(module, "__dict__").get("__spec__")
    except AttributeError:
        return False
    return getattr(spec, "origin", None) is not None


def environment():
    """The dictionary behind `os.environ`."""
    return getattr(os.environ, "_data", os.environ)


def loaded(name):
    """A module that has been imported, not one that is being imported or was put in its place."""
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    return None if spec is None or getattr(spec, "_initializing", False) else module


def working_directory():
    try:
        return os.getcwd()
    except OSError:
        return None


def changed_names(before, now):
    return sorted(name for name in before.keys() | now.keys() if name != "_" and before.get(name) is not now.get(name))


def digest(parts):
    """A number that is the same for equal states of different processes. Nothing of the state can be read from it."""
    def plain(value):
        return repr(value).split(" at 0x")[0]

    env, put = parts["the environment"]
    parts = {
        **parts,
        "the environment": sorted((plain(key), plain(value)) for each in (env, put) for key, value in each.items()),
        "the import hooks": [[plain(it) for it in hooks] for hooks in parts["the import hooks"]],
        "warning filters": [tuple(getattr(it, "pattern", getattr(it, "__qualname__", it)) for it in each) for each in parts["warning filters"]],
    }
    return _imp.source_hash(0, repr(sorted(parts.items())).encode("utf-8", "backslashreplace")).hex()


class Group:
    """The modules that one import of the user's code loads, loaded ahead and put aside."""

    def __init__(self, name, lines, before):
        self.name = name
        self.lines = lines
        self.before = before
        self.after = before
        self.modules = {}
        self.attributes = []

    def put_aside(self):
        for name, module in self.modules.items():
            sys.modules.pop(name, None)
            around, _, child = name.rpartition(".")
            # Of a package that is imported before, it is an attribute only once it is imported itself.
            parent = None if around in self.modules else sys.modules.get(around)
            if parent is not None and vars(parent).get(child) is module:
                self.attributes.append((parent, child, vars(parent).pop(child)))

    def bring_back(self):
        sys.modules.update(self.modules)
        for parent, child, module in self.attributes:
            setattr(parent, child, module)


class Imports:
    """Takes the place of two functions of importlib: notes which modules are imported and where they are, and brings
    back those that were loaded ahead.

    Nothing that a program would look at tells of it, and what is loaded already does not come by here. `#state`
    precedes a module that the user's code, or a call that it made, asks for: the digest of the process at that moment.
    """

    def __init__(self):
        self.find = _frozen_importlib._find_spec
        self.load = _frozen_importlib._find_and_load
        self.process = os.getpid()
        self.state = ProcessState()
        # Imports in progress by thread: the name, and whether the module is an installed one, once that is known.
        self.open = {}
        self.path = None
        self.check = None
        self.groups = []
        self.aside = set()
        # The first installed module that was imported and not loaded ahead, which what is aside has not seen.
        self.unforeseen = None
        self.hook = self.make_hook()
        _frozen_importlib._find_spec = self.look
        _frozen_importlib._find_and_load = self.hook
        self.noted = set()
        self.noted_script = False
        self.auditing = False
        sys.addaudithook(self.audit)

    def audit(self, event, args):
        """Hears of each event of the interpreter as long as the process lives: must be quick, and never fail."""
        if event not in AUDITED or self.auditing:
            return
        self.auditing = True
        try:
            if event == "os.putenv":
                self.state.put[args[0]] = args[1]
            elif event == "os.unsetenv":
                self.state.put.pop(args[0], None)
            elif self.process == os.getpid():
                self.note_file(event, args)
        except Exception:
            # A program does not fail because of what is noted of it.
            pass
        finally:
            self.auditing = False

    def note_file(self, event, args):
        path, flags = args[0], args[2] if event == "open" else os.O_WRONLY
        if event == "os.rename":
            path = args[1]
        if isinstance(path, int) or flags is None:
            return
        path = os.path.abspath(os.fsdecode(path))
        writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
        if path.startswith((*INSTALLED, "/proc/", "/dev/", "/sys/", FOLDER)) or "__pycache__" in path:
            return
        if writes:
            self.state.written += 1
        if (path, writes) not in self.noted and len(self.noted) < NOTED:
            self.noted.add((path, writes))
            self.write("%s\t%s\n" % ("#wrote" if writes else "#read", path))

    def make_hook(self):
        begin, finish, load = self.begin, self.finish, self.load

        def _find_and_load(name, import_):
            if not begin(name, import_):
                return sys.modules[name]
            try:
                return load(name, import_)
            finally:
                finish()

        # Tracebacks and warnings leave out the frames of importlib, and with this name ours as well.
        _find_and_load.__code__ = _find_and_load.__code__.replace(co_filename="<frozen importlib._bootstrap>")
        return _find_and_load

    def begin(self, name, import_):
        """Whether `name` is still to be imported."""
        if os.getpid() != self.process:
            self.end()
        if name in self.aside:
            parent = name.rpartition(".")[0]
            # Imported first, as importlib does.
            if parent and parent not in sys.modules:
                import_(parent)
            if name in self.aside:
                self.bring_back(name)
            if name in sys.modules:
                return False
        self.open.setdefault(_thread.get_ident(), []).append([name, None])
        return True

    def finish(self):
        thread = _thread.get_ident()
        stack = self.open.get(thread)
        if stack:
            stack.pop()
        if not stack:
            self.open.pop(thread, None)

    def look(self, name, path, target=None):
        spec = self.find(name, path, target)
        if _frozen_importlib._find_spec != self.look:
            return spec
        if os.getpid() != self.process:
            self.end()
            return spec
        place = place_of(spec)
        stack = self.open.get(_thread.get_ident(), [])
        if not stack or stack[-1][0] != name:
            # Only asked for, or run as the main module.
            self.write("#found\t%s\n" % place)
            return spec
        # A parent package that the same statement asks for is on the stack behind it, and not found yet.
        outer = next((installed for _, installed in reversed(stack) if installed is not None), False)
        stack[-1][1] = is_installed(place)
        if place:
            self.state.names.add(name)
        if self.check is not None:
            self.check(name, place)
        else:
            if place and stack[-1][1] and self.unforeseen is None:
                self.unforeseen = name
            self.note(name, place, asked_for=not outer and (not place or is_installed(place)))
        return spec

    def note(self, name, place, asked_for):
        lines = ""
        if self.path != sys.path:
            self.path = list(sys.path)
            lines = "".join("#own\t%s\n" % folder for folder in own_folders())
        if asked_for:
            lines += "#state\t%s\n" % digest(self.state.take())
            lines = self.script() + lines
        self.write("%s%s\t%s\n" % (lines, name, place))

    def script(self):
        """The note of the script's folder, once it is known."""
        if self.noted_script or self.state.script_folder is None:
            return ""
        self.noted_script = True
        return "#script\t%s\n" % self.state.script_folder

    def bring_back(self, name):
        """Brings back the modules that an import of `name` loads, if the process is what it was when they were loaded."""
        group = self.groups[0]
        if group.name != name:
            return self.differ("`%s` is imported where `%s` was" % (name, group.name))
        if self.unforeseen is not None:
            return self.differ("`%s` is imported before `%s`, and was not" % (self.unforeseen, name))
        now = self.state.take()
        parts = {**now, **group.before}
        reason = next((part for part in parts if now.get(part) != group.before.get(part)), None)
        if any(it in sys.modules for it in group.modules):
            reason = "sys.modules"
        if reason is not None:
            return self.differ("%s differs where `%s` is imported" % (reason, name))
        del self.groups[0]
        self.aside -= group.modules.keys()
        group.bring_back()
        self.state.restore(group.after)
        self.write(self.script() + "".join(group.lines))

    def differ(self, reason):
        """Ends a process that would not be what a plain start is, before anything of it reaches the client."""
        try:
            os.unlink(os.path.join(FOLDER, "trial"))
        except OSError:
            # It serves by now: what was loaded ahead is loaded once more instead.
            self.groups, self.aside = [], set()
            return
        try:
            with open(os.path.join(FOLDER, "unlike"), "w") as file:
                file.write(reason)
        finally:
            os._exit(0)

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
        if not self.groups and _frozen_importlib._find_and_load == self.hook:
            _frozen_importlib._find_and_load = self.load
        if _frozen_importlib._find_spec == self.look:
            _frozen_importlib._find_spec = self.find


class Standby:
    """What is imported before the proxy says that the command is to be run."""

    def __init__(self, learned, imports):
        self.imports = imports
        self.places = {}
        self.groups = []
        self.folders = []
        self.linked = set()
        self.tried = set()
        self.problem = None
        for line in learned.splitlines(keepends=True):
            name, _, place = line.rstrip("\n").partition("\t")
            if name == "#state":
                self.groups.append((place, [], []))
            elif name == "#script":
                imports.state.script_folder = place
            elif name == "#own":
                self.folders.append(place)
            elif name == "#linked":
                self.linked.add(place)
            elif not name.startswith("#"):
                self.places.setdefault(name, place)
                if self.groups and (not place or is_installed(place)):
                    self.groups[-1][1].append(name)
                    self.groups[-1][2].append(line)
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
        imports, state = self.imports, self.imports.state
        imports.check = self.check
        wrong = own_sitecustomize()
        start = state.take()
        script = [] if state.script_folder is None else [state.script_folder]
        sys.path[:0] = script
        for learned, names, lines in self.groups:
            if not names or names[0] in sys.modules:
                continue
            before = state.take()
            # The user's code had changed something by then, and may do so again.
            if digest(before) != learned:
                break
            # What follows may depend on what cannot be loaded ahead.
            if self.places[names[0]] and not self.is_ready_made(names[0]):
                break
            group = Group(names[0], ["#state\t%s\n" % learned, *lines], before)
            known = set(sys.modules)
            for name in names:
                # What was tried and is not there was given up by those who import it.
                if name not in self.tried and name not in sys.modules and self.is_ready_made(name):
                    __import__(name)
            group.modules = {name: module for name, module in sys.modules.items() if name not in known}
            group.after = state.take()
            if group.modules:
                imports.groups.append(group)
        imports.check = None
        if self.problem is not None:
            raise self.problem
        if _thread._count() > threads:
            raise Unfit("importing ahead starts threads")
        if "__warningregistry__" in globals():
            raise Unfit("a module warns whoever imports it")
        self.look_for_namesakes()
        del sys.path[: len(script)]
        self.put_aside(start)
        return wrong

    def put_aside(self, start):
        """Leaves the process as it was before anything was loaded ahead."""
        imports, state = self.imports, self.imports.state
        # What cannot be brought back is as the last package left it.
        left = state.take()
        # The last first: a package is still there when modules in it are put aside.
        for group in reversed(imports.groups):
            group.put_aside()
            imports.aside |= group.modules.keys()
        state.restore(start)
        for group in imports.groups:
            for part in group.before.keys() - state.RESTORED:
                group.before[part] = left[part]

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
    imports = Imports()
    imports.write("#interpreter\t%s\n" % sys.executable)
    imports.write("#interpreter\t%s\n" % os.path.join(sys.prefix, "pyvenv.cfg"))
    for path in INSTALLED:
        imports.write("#installed\t%s\n" % path)
    learned = read("learned")
    return own_sitecustomize() if learned is None else Standby(learned, imports).run()


problem = main()
if problem is not None:
    # That there is none is what `site` expects in most cases, and the rest it tells.
    raise problem
