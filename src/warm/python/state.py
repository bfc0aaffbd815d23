class ProcessState:
    """Process state that packages can see and the user's code can change, as named parts."""

    # Attributes of `sys` that programs replace.
    REPLACEABLE = ("stdin", "stdout", "stderr", "excepthook", "displayhook", "breakpointhook", "unraisablehook")

    def __init__(self):
        self.path = list(sys.path)
        # Set once the interpreter has put it at the beginning of `sys.path`.
        self.script_folder = None
        self.originals = {name: getattr(sys, name, None) for name in self.REPLACEABLE}
        self.builtins = dict(vars(builtins))
        self.names = set(sys.modules)
        self.put = {}
        self.written = 0

    def take(self):
        """Returns the value of each part. Takes about ten microseconds."""
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
        if is_in_loop():
            parts["the running event loop"] = True
        if loaded("logging"):
            root = loaded("logging").root
            parts["logging"] = (root.level, [type(it).__qualname__ for it in root.handlers], root.manager.disable)
        if loaded("_socket") and loaded("_socket").getdefaulttimeout() is not None:
            parts["the default timeout of sockets"] = loaded("_socket").getdefaulttimeout()
        return parts

    def path_without_script(self):
        """Returns `sys.path` without the script's folder, which the interpreter adds after this file has run."""
        if self.script_folder is None and sys.path[1:] == self.path:
            self.script_folder = sys.path[0]
        if self.script_folder is not None and sys.path[:1] == [self.script_folder]:
            return sys.path[1:]
        return list(sys.path)

    def stubs(self):
        """Returns the names of modules put into `sys.modules` without an import, perhaps in place of others."""
        return sorted(name for name in sys.modules.keys() - self.names if not is_from_file(sys.modules[name]))

    def restore(self, parts):
        """Restores the parts that packages commonly change during their import."""
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

    RESTORED = {"the environment", "sys.path", "the import hooks", "warning filters", "sys.modules", "the running event loop"}


class RunningLoop:
    """Simulates a running event loop, as in `asyncio.run`, where frameworks import many of their modules.

    Packages must not use the loop, since a plain start has another one.
    """

    def __init__(self, events):
        self.events = events
        self.uses = 0

    def __enter__(self):
        events = self.events
        self.before = events._event_loop_policy
        # Creates the default policy, as the first loop does. The name without the underscore warns since Python 3.14.
        getattr(events, "_get_event_loop_policy", events.get_event_loop_policy)()
        self.policy = events._event_loop_policy
        self.loop = NoLoop(self)
        events._set_running_loop(self.loop)
        self.references = sys.getrefcount(self.loop)

    def __exit__(self, *_):
        is_kept = sys.getrefcount(self.loop) > self.references
        self.events._set_running_loop(None)
        if self.events._event_loop_policy is self.policy:
            self.events._event_loop_policy = self.before
        if is_kept or self.uses:
            raise Unfit("a package uses the event loop while it is imported")


class NoLoop:
    def __init__(self, running):
        self._running = running

    def __getattr__(self, name):
        self._running.uses += 1
        raise AttributeError(name)


def is_in_loop():
    events = loaded("asyncio.events")
    return events is not None and events._get_running_loop() is not None


def is_from_file(module):
    """Whether a module was loaded from a file, by any loader. Avoids `getattr`, which might load more modules."""
    try:
        spec = object.__getattribute__(module, "__dict__").get("__spec__")
    except AttributeError:
        return False
    return getattr(spec, "origin", None) is not None


def environment():
    """Returns the dictionary behind `os.environ`."""
    return getattr(os.environ, "_data", os.environ)


def loaded(name):
    """Returns a completely imported module; `None` during its import or for a substitute."""
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
    """Returns a hash that is equal for equal states of different processes and does not reveal the state."""
    def plain(value):
        return repr(value).split(" at 0x")[0]

    env, put = parts["the environment"]
    parts = {
        **parts,
        "the environment": sorted((plain(key), plain(value)) for each in (env, put) for key, value in each.items()),
        "the import hooks": [[plain(it) for it in hooks] for hooks in parts["the import hooks"]],
        "warning filters": [tuple(getattr(it, "pattern", getattr(it, "__qualname__", it)) for it in each) for each in parts["warning filters"]],
    }
    text = repr(sorted(parts.items()))
    for of_start in OF_START:
        text = text.replace(of_start, "")
    return _imp.source_hash(0, text.encode("utf-8", "backslashreplace")).hex()


