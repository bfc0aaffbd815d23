class Group:
    """Modules loaded by one import of the user's code; loaded ahead and put aside."""

    def __init__(self, name, lines, before):
        self.name = name
        self.lines = lines
        self.before = before
        self.after = before
        self.modules = {}
        self.attributes = []
        # Whether the import replaced finders in `sys.path_importer_cache`.
        self.changes_finders = False

    def put_aside(self):
        for name, module in self.modules.items():
            sys.modules.pop(name, None)
            around, _, child = name.rpartition(".")
            # A package from an earlier import has the attribute only once the submodule is imported.
            parent = None if around in self.modules else sys.modules.get(around)
            if parent is not None and vars(parent).get(child) is module:
                self.attributes.append((parent, child, vars(parent).pop(child)))

    def bring_back(self):
        sys.modules.update(self.modules)
        for parent, child, module in self.attributes:
            setattr(parent, child, module)


class Imports:
    """Replaces two functions of importlib: notes imported modules with their locations, and brings back modules that
    were loaded ahead.

    The replacement is invisible to usual inspection. Imports of loaded modules bypass it. The line `#state` precedes a
    module that the user's code, or a call from it, imports; it holds the digest of the process state at that moment.
    """

    def __init__(self):
        self.find = _frozen_importlib._find_spec
        self.load = _frozen_importlib._find_and_load
        self.process = os.getpid()
        # Bound now, since a program may replace the function.
        self.this_thread = _thread.get_ident
        self.state = ProcessState()
        # Imports in progress by thread: name, and whether the module is an installed one (`None` until known).
        self.open = {}
        self.path = None
        self.check = None
        self.groups = []
        self.aside = set()
        # First installed module that was imported but not loaded ahead; the modules put aside were loaded without it.
        self.unforeseen = None
        self.hook = self.make_hook()
        _frozen_importlib._find_spec = self.look
        _frozen_importlib._find_and_load = self.hook
        self.noted = set()
        self.noted_script = False
        # Threads that are noting an event.
        self.auditing = set()
        sys.addaudithook(self.audit)

    def audit(self, event, args):
        """Receives each audit event for the lifetime of the process; must be fast and never raise."""
        thread = self.this_thread()
        if event not in AUDITED or thread in self.auditing:
            return
        self.auditing.add(thread)
        try:
            if event == "os.putenv":
                self.state.put[args[0]] = args[1]
            elif event == "os.unsetenv":
                self.state.put.pop(args[0], None)
            elif self.process == os.getpid():
                self.note_file(event, args)
        except Exception:
            # An error in the notes must not make the program fail.
            pass
        finally:
            self.auditing.discard(thread)

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

        # Tracebacks and warnings omit frames of importlib; this file name hides the frames of this function, too.
        _find_and_load.__code__ = _find_and_load.__code__.replace(co_filename="<frozen importlib._bootstrap>")
        return _find_and_load

    def begin(self, name, import_):
        """Returns whether `name` is still to be imported; brings it back if it is aside."""
        if os.getpid() != self.process:
            # A forked child imports without the modules put aside.
            self.groups, self.aside = [], set()
            self.end()
        if name in self.aside:
            parent = name.rpartition(".")[0]
            # The parent comes first, as in importlib.
            if parent and parent not in sys.modules:
                import_(parent)
            if name in self.aside:
                self.bring_back(name)
            if name in sys.modules:
                return False
        self.open.setdefault(self.this_thread(), []).append([name, None])
        return True

    def finish(self):
        thread = self.this_thread()
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
        stack = self.open.get(self.this_thread(), [])
        if not stack or stack[-1][0] != name:
            # Located without an import, or run as the main module.
            self.write("#found\t%s\n" % place)
            return spec
        # A parent package from the same statement may be on the stack without being located yet.
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
        """Returns the note of the script's folder once, as soon as the folder is known."""
        if self.noted_script or self.state.script_folder is None:
            return ""
        self.noted_script = True
        return "#script\t%s\n" % self.state.script_folder

    def bring_back(self, name):
        """Brings back the modules that an import of `name` loads, if the process state equals that of their import."""
        group = self.groups[0]
        if group.name != name:
            return self.differ("`%s` is imported instead of `%s`" % (name, group.name))
        if self.unforeseen is not None:
            return self.differ("`%s` is now imported before `%s`" % (self.unforeseen, name))
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
        if group.changes_finders:
            sys.path_importer_cache.clear()
        self.write(self.script() + "".join(group.lines))

    def differ(self, reason):
        """Ends a process that differs from a plain start, before any of its output reaches the client."""
        try:
            os.unlink(os.path.join(FOLDER, "trial"))
        except OSError:
            # The process serves already: it loads the modules again instead.
            self.groups, self.aside = [], set()
            return
        try:
            with open(os.path.join(FOLDER, "unlike"), "w") as file:
                file.write(reason)
        finally:
            os._exit(0)

    def write(self, lines):
        try:
            # Not kept open: programs rely on file descriptor numbers, and some close all descriptors.
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


