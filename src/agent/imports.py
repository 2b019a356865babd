"""What a Python interpreter finds when it imports something: as any other Python does, although the agent has left that out."""
import _ctypes
import os
import sys
from _frozen_importlib_external import PathFinder

# What is used here, maybe later than the user's code begins: it is there whatever files of these names the workspace has.
OWN = frozenset((
    "__future__", "_weakrefset", "array", "ast", "base64", "collections", "contextlib", "contextvars", "copyreg", "ctypes",
    "enum", "functools", "importlib", "json", "keyword", "linecache", "operator", "re", "reprlib", "resource", "signal",
    "sre_compile", "sre_constants", "sre_parse", "struct", "termios", "textwrap", "threading", "token", "tokenize",
    "traceback", "types", "warnings"
))

# Where `sys.flags` says that Python was started with `-S`.
NO_SITE = 6


class Own:
    """Finds them in the library."""

    def __init__(self):
        self.library = tuple(sys.path)

    def find_spec(self, name, path=None, target=None):
        return PathFinder.find_spec(name, self.library) if path is None and name in OWN else None


class Noticing:
    """Calls a function with a module as soon as that has been imported."""

    def __init__(self, functions):
        self.functions = functions

    def find_spec(self, name, path=None, target=None):
        function = self.functions.get(name)
        if function is None:
            return None
        spec = self.ask_others(name, path, target)
        if spec is None or spec.loader is None:
            return None
        run_module = spec.loader.exec_module

        def exec_module(module):
            run_module(module)
            function(module)

        spec.loader.exec_module = exec_module
        return spec

    def ask_others(self, name, path, target):
        for finder in tuple(sys.meta_path):
            if finder is not self and hasattr(finder, "find_spec"):
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    return spec
        return None


class Object(_ctypes._SimpleCData):
    _type_ = "O"


def prefer_library():
    """Before anything is added to the search path."""
    sys.meta_path.insert(sys.meta_path.index(PathFinder), Own())


def notice(functions):
    """Functions by the names of modules."""
    for name, function in functions.items():
        if name in sys.modules:
            function(sys.modules[name])
    sys.meta_path.insert(0, Noticing(functions))


def add_site():
    """What Python does by itself when it starts, without `-S`: `site-packages` with its `.pth` files, `sitecustomize`, `exit`.

    That is code of others, so it runs no sooner than somebody wants an interpreter, and what it prints is for a diagnosis.
    """
    import site
    if not sys.flags.no_site:
        return
    # Who starts another Python gives it these options (`subprocess._args_from_interpreter_flags`).
    library = _ctypes.dlopen(None, os.RTLD_NOW)
    _ctypes.call_function(_ctypes.dlsym(library, "PyStructSequence_SetItem"), (Object(sys.flags), NO_SITE, Object(0)))
    if hasattr(sys, "orig_argv"):
        sys.orig_argv.remove("-S")
    site.main()


def extend_path():
    """The search path as an interactive Python has it; isolated mode, which the agent needs, leaves this out."""
    sys.path[0:0] = [""] + [part for part in os.environ.get("PYTHONPATH", "").split(":") if part]
    sys.argv = [""]


_user_site = None


def extend_user_site():
    """Finds what `pip install --user` has installed, from the first run after that on."""
    global _user_site
    if _user_site is None:
        version = "python%d.%d" % sys.version_info[:2]
        _user_site = os.path.join(os.environ.get("HOME", "/workspace"), ".local", "lib", version, "site-packages")
    if _user_site not in sys.path and os.path.isdir(_user_site):
        import site
        site.addsitedir(_user_site)
