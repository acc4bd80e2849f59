"""The loader: turns a target such as ``data_sync`` or ``pkg.mod:function`` into the callable that takes a Run's params."""

import importlib
import inspect
import re
import sys
import traceback
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from scheduler.core.errors import PluginError
from scheduler.core.marks import unmarked
from scheduler.core.nearest import did_you_mean
from scheduler.plugins.adapter import adapt
from scheduler.plugins.folder import PluginFolder
from scheduler.tasks.base_task import BaseTask

_TARGET = re.compile(r"(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*)(:(?P<attribute>[^\W\d]\w*))?")

# sys.path and sys.modules belong to the whole process, and so does the one folder that is entered there.
_folder: PluginFolder | None = None


class Target(NamedTuple):
    """Where a task's code is: an importable module and a name in it."""

    module: str
    attribute: str

    def __str__(self) -> str:
        return f"{self.module}:{self.attribute}"


def parse_target(text: str) -> Target:
    """``module`` (its ``run``) or ``module:name``; PluginError for anything else, so a path can never get in."""
    match = _TARGET.fullmatch(text)
    if not match or text.endswith(".py"):
        advice = text.removesuffix(".py").replace("-", "_").strip("./\\")
        raise PluginError(
            f"{text!r} is no plugin: write module, module:function or module:Class, such as data_sync or pkg.mod:run"
            + (f"; did you mean {advice!r}?" if advice != text and _TARGET.fullmatch(advice) else "")
        )
    return Target(match["module"], match["attribute"] or "run")


def use_folder(path: Path, *, allow_writable: bool = False) -> PluginFolder:
    """Make ``path`` the plugin folder of this process: last on ``sys.path``, so that no plugin can shadow a library."""
    global _folder  # noqa: PLW0603 -- see the comment at its definition
    if _folder:
        forget()
        sys.path[:] = [entry for entry in sys.path if entry != str(_folder.path)]
    _folder = PluginFolder(path, allow_writable=allow_writable)
    sys.path.append(str(_folder.path))
    return _folder


def forget() -> None:
    """Drop the folder's modules, so that the next ``resolve`` imports the files anew; Runs under way keep the code they have."""
    for name, module in list(sys.modules.items()):
        if _folder and _folder.holds(getattr(module, "__file__", None)):
            del sys.modules[name]


def resolve(target: str) -> Callable[..., Any]:
    """The callable for keyword params: the user's function under our decorators, or the adapted BaseTask. Raises PluginError."""
    exposed = unmarked(load(parse_target(target)))
    return adapt(exposed) if inspect.isclass(exposed) and issubclass(exposed, BaseTask) else exposed


def load(target: Target) -> Any:
    """What the plugin exposes under this name, marks included; PluginError in one sentence that says where and what to do."""
    exposed = find(target)
    if problem := _unusable(unmarked(exposed) if callable(exposed) else exposed):
        raise PluginError(f"{_place(sys.modules[target.module].__file__)}: {target.attribute} {problem}")
    return exposed


def find(target: Target) -> Any:
    """Whatever has this name, a task or not; PluginError as with ``load``."""
    _require_own(target.module)
    module = _import(target.module)
    exposed = getattr(module, target.attribute, None)
    if exposed is None:
        raise _missing(target, module) from ImportError(f"任务模块 {target.module} 没有 '{target.attribute}' 函数")
    return exposed


def _require_own(name: str) -> None:
    """The name must mean a trusted file of the plugin folder, or an installed package: never the standard library."""
    importlib.invalidate_caches()
    top = name.partition(".")[0]
    origin = _origin(top)
    if _folder and (sources := _folder.sources(name)):
        _folder.require_trusted(name)
        if not _folder.holds(origin):
            raise PluginError(f"{_folder.shown(sources[0])} has the name of another module, {top} ({origin}): rename it, say to my_{top}")
    elif top in sys.stdlib_module_names or not origin:
        place, near = (_folder.path, did_you_mean(top, _folder.names())) if _folder else ("sys.path", "")
        raise PluginError(f"there is no plugin {name!r}: no {top}.py in {place}, and no installed package of this name{near}")


def _origin(top: str) -> str:
    """Where ``import top`` would take it from, without importing; '' for nowhere."""
    if top in sys.modules and not getattr(sys.modules[top], "__spec__", None):
        return getattr(sys.modules[top], "__file__", None) or "built-in"
    spec = find_spec(top)
    return (spec.origin or next(iter(spec.submodule_search_locations or ()), "")) if spec else ""


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except SyntaxError as error:
        raise PluginError(f"{_place(error.filename)}:{error.lineno}: {type(error).__name__}: {error.msg}") from error
    except SystemExit as error:
        raise PluginError(f"{_where(error, name)}: calls sys.exit({error.code!r}) while being imported; do that in run()") from error
    except ModuleNotFoundError as error:
        advice = "" if name.startswith(error.name or "?") else "; install it where the centre runs"
        raise PluginError(f"{_where(error, name)}: {error}{advice}") from error
    except Exception as error:
        raise PluginError(f"{_where(error, name)}: {type(error).__name__}: {error} (while being imported)") from error


def _where(error: BaseException, name: str) -> str:
    """``plugins/x.py:12``: the innermost line of the user's own that led to the error."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__ and "importlib" not in frame.filename
    ]
    own = [frame for frame in frames if _folder and _folder.holds(frame.filename)]
    return next((f"{_place(frame.filename)}:{frame.lineno}" for frame in reversed(own or frames)), name)


def _place(file: str | None) -> str:
    return _folder.shown(file) if _folder and file else file or "a built-in module"


def _missing(target: Target, module: ModuleType) -> PluginError:
    own = [name for name, value in vars(module).items() if callable(value) and getattr(value, "__module__", "") == module.__name__]
    return PluginError(
        f"任务模块 {target.module} 没有 '{target.attribute}' 函数: define {target.attribute}() in {_place(module.__file__)}, "
        f"or name what it has, as in module: {target.module}:{own[0] if own else 'function'}{did_you_mean(target.attribute, own)}"
    )


def _unusable(exposed: object) -> str:
    """Why the centre cannot call it; '' when it can."""
    if inspect.isclass(exposed):
        if not issubclass(exposed, BaseTask):
            return "is a class, but not a subclass of scheduler.BaseTask"
        missing = ", ".join(sorted(exposed.__abstractmethods__))
        return f"does not implement {missing}()" if missing else ""
    if not callable(exposed):
        return f"is {type(exposed).__name__}, not a function or a subclass of scheduler.BaseTask"
    if inspect.isgeneratorfunction(exposed) or inspect.isasyncgenfunction(exposed):
        return "is a generator: its body would never run; return the result instead of yielding it"
    return ""
