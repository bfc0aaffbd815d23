class Standby:
    """Imports packages ahead and waits for the proxy's signal to run the command."""

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
            self.say("unfit %s" % (error if isinstance(error, Unfit) else "preloading failed: %r" % error))
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
        # The pipe closes when the proxy ends.
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
            # Later modules may depend on one that cannot be loaded ahead.
            if self.places[names[0]] and not self.is_ready_made(names[0]):
                break
            # The user's code had changed the state by then, and may do so again.
            if not (self.load_group(learned, names, lines) or self.load_in_loop(learned, names, lines)):
                break
        imports.check = None
        if self.problem is not None:
            raise self.problem
        if _thread._count() > threads:
            raise Unfit("preloaded packages start threads")
        if "__warningregistry__" in globals():
            raise Unfit("a module warns on import")
        self.look_for_namesakes()
        del sys.path[: len(script)]
        self.put_aside(start)
        return wrong

    def load_group(self, learned, names, lines):
        """Loads the modules if the process state equals that of their earlier import; returns whether it does."""
        state = self.imports.state
        before = state.take()
        if digest(before) != learned:
            return False
        group = Group(names[0], ["#state\t%s\n" % learned, *lines], before)
        known, finders = set(sys.modules), dict(sys.path_importer_cache)
        for name in names:
            # The importing modules cope without a module that was tried and is missing.
            if name not in self.tried and name not in sys.modules and self.is_ready_made(name):
                __import__(name)
        group.modules = {name: module for name, module in sys.modules.items() if name not in known}
        group.after = state.take()
        group.changes_finders = any(sys.path_importer_cache.get(path) is not it for path, it in finders.items())
        if group.modules:
            self.imports.groups.append(group)
        return True

    def load_in_loop(self, learned, names, lines):
        events = loaded("asyncio.events")
        if events is None or is_in_loop():
            return False
        with RunningLoop(events):
            return self.load_group(learned, names, lines)

    def put_aside(self, start):
        """Restores the process state from before the imports."""
        imports, state = self.imports, self.imports.state
        # State that cannot be restored stays as the last package left it.
        left = state.take()
        # In reverse order: a package must be present when its submodules are put aside.
        for group in reversed(imports.groups):
            group.put_aside()
            imports.aside |= group.modules.keys()
        state.restore(start)
        # Its finders may come from hooks that are removed now.
        sys.path_importer_cache.clear()
        for group in imports.groups:
            for part in group.before.keys() & left.keys() - state.RESTORED:
                group.before[part] = left[part]

    def is_ready_made(self, name):
        """Whether a module and its parent packages are installed ones."""
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
            self.problem = Unfit("a package imports %s, which is not an installed module" % place)
            raise self.problem
        if name in self.linked:
            self.problem = Unfit("a package imports %s, which is linked from elsewhere" % place)
            raise self.problem
        if known is None and (not place or is_installed(place)) or known == place:
            return
        self.problem = Unfit("%s was loaded from %r and would now be loaded from %r" % (name, known, place))
        raise self.problem

    def look_for_namesakes(self):
        """Raises `Unfit` if a module in the user's folders, not searched ahead, shadows an installed one."""
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
                    raise Unfit("%s shadows the module of the same name" % path)


def main():
    right = is_right_process() and claim()
    restore_path()
    if not right:
        return own_sitecustomize()
    restore_environment()
    OF_START[:] = filter(None, [os.environ.get("MCP_PROXY_GUARD"), read("port")])
    imports = Imports()
    imports.write("#interpreter\t%s\n" % sys.executable)
    imports.write("#interpreter\t%s\n" % os.path.join(sys.prefix, "pyvenv.cfg"))
    for path in INSTALLED:
        imports.write("#installed\t%s\n" % path)
    learned = read("learned")
    return own_sitecustomize() if learned is None else Standby(learned, imports).run()


problem = main()
if problem is not None:
    # `site` expects an ImportError for a missing module and reports any other exception.
    raise problem
