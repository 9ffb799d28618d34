"""Variants from outside: what installed packages offer as entry points, and files that a user names.

A file (``FILE.py`` for all variants in it, ``FILE.py:NAME`` for one) needs no packaging. Files are named in the
environment, so that workers, profilers and whatever else this process starts find them too.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from mglubench.cases.case import Case
from mglubench.cases.vocabulary import ACTIVATIONS, LAYERS
from mglubench.errors import MglubenchError, UsageError
from mglubench.layer.problem import Problem
from mglubench.system.plain_text import first_line, plain
from mglubench.system.variables import variable
from mglubench.variants.base import Launch, Variant

GROUP = "mglubench.variants"
FILES_VARIABLE = "MGLUBENCH_PLUGINS"
_BETWEEN = ";"


@dataclass(frozen=True, slots=True)
class Plugin:
    """Something outside that offers variants.

    Attributes:
        name: what stands for it where it cannot be used. words: what messages call it. load: variants, or their
            classes. cure: what to do if that fails. asked: whether the user named it, so that ``auto`` includes it.
    """

    name: str
    words: str
    load: Callable[[], Sequence[object]]
    cure: str
    asked: bool = False

    def variants(self) -> list[Variant]:
        """What it offers.

        Raises:
            UsageError: it cannot be loaded, or offers something else than variants.
        """
        try:
            # What is printed while it is imported is no part of a table or a document.
            with redirect_stdout(sys.stderr):
                offered = [entry() if isinstance(entry, type) else entry for entry in self.load()]
        except (Exception, SystemExit) as error:
            said = f"{type(error).__name__}: {first_line(error)}"
            raise UsageError(f"{self.words} cannot be loaded: {said}; {self.cure}") from error
        return [self._checked(entry) for entry in offered]

    def _checked(self, offered: object) -> Variant:
        if not isinstance(offered, Variant):
            raise UsageError(f"{self.words} is a {type(offered).__name__}, not a Variant")
        if why := why_unfit(offered):
            raise UsageError(f"{self.words} offers a variant {why}")
        return offered


class BrokenPlugin(Variant):
    """Stands where a plug-in is named that cannot be used: each of its cases is a row that says why."""

    summary = "a plug-in that cannot be used"
    layer = "lu"
    default = False

    def __init__(self, name: str, reason: str) -> None:
        vars(self).update(name=name)
        self._reason = reason

    def why_unsupported(self, case: Case) -> str | None:
        """Raises what is wrong with the plug-in."""
        raise MglubenchError(self._reason)

    def prepare(self, problem: Problem) -> Launch:
        """Raises what is wrong with the plug-in."""
        raise MglubenchError(self._reason)


def plugins(files: str) -> Iterator[Plugin]:
    """Everything outside that offers variants: installed packages, then the files of a value of the environment."""
    for entry in entry_points(group=GROUP):
        words = f"entry point {entry.name!r} of group {GROUP}"
        cure = "fix or uninstall the package that offers it"
        yield Plugin(plain(entry.name), words, lambda entry=entry: [entry.load()], cure)  # type: ignore[misc]
    for given in filter(None, files.split(_BETWEEN)):
        path, wanted = _parted(given)
        name = plain(re.sub(r"[\s,/]+", "-", path.name + (f":{wanted}" if wanted else ""))).lstrip("-")
        load = _Loader(path, wanted)
        yield Plugin(name, f"plug-in {path.name}{f':{wanted}' if wanted else ''}", load, f"fix {path}", asked=True)


def name_files(given: Sequence[str | Path]) -> str:
    """Files that a user named, as a value of the environment: absolute, behind those that are there already.

    Raises:
        UsageError: one is not there, or no Python.
    """
    found = list(filter(None, os.environ.get(FILES_VARIABLE, "").split(_BETWEEN)))
    for entry in given:
        path, wanted = _parted(str(entry))
        if path.suffix != ".py" or _BETWEEN in str(path):
            raise UsageError(f"plug-in {str(entry)!r} is no Python file; give FILE.py, or FILE.py:NAME for one variant")
        if not path.is_file():
            raise UsageError(f"no plug-in {str(path)!r}; give the path of a Python file with variants in it")
        found.append(f"{path.absolute()}{f':{wanted}' if wanted else ''}")
    return _BETWEEN.join(dict.fromkeys(found))


@contextmanager
def plugin_files(given: str | Path | Sequence[str | Path] | None) -> Iterator[None]:
    """Variants of these files are known meanwhile; raises :class:`UsageError` as :func:`name_files` does."""
    files = [given] if isinstance(given, str | Path) else given or []
    with variable(FILES_VARIABLE, name_files(files)):
        yield


def why_unfit(variant: Variant) -> str | None:
    """What a variant lacks of what tables and keys are made of."""
    for attribute in ("name", "summary", "layer"):
        if not isinstance(getattr(variant, attribute, None), str):
            return f"without a {attribute}"
    if not re.fullmatch(r"[^\s,/-][^\s,/]*", variant.name) or plain(variant.name) != variant.name:
        return f"whose name {plain(variant.name)!r} has characters that no name may have"
    if variant.layer not in LAYERS:
        return f"of an unknown layer {variant.layer!r}; known: {', '.join(LAYERS)}"
    if not set(variant.activations) <= set(ACTIVATIONS) or not variant.activations:
        return f"of activations {variant.activations!r}; known: {', '.join(ACTIVATIONS)}"
    return None


@dataclass(frozen=True, slots=True)
class _Loader:
    """Imports a file as a module of its own and finds the variants that are written in it."""

    path: Path
    wanted: str

    def __call__(self) -> list[object]:
        module = self._module()
        if self.wanted:
            return [getattr(module, self.wanted)]
        own = [value for value in vars(module).values() if _is_variant_of(value, module)]
        if not own:
            raise MglubenchError("there is no Variant in it")
        return list(dict.fromkeys(own))

    def _module(self) -> ModuleType:
        name = f"mglubench_plugin_{re.sub(r'[^0-9A-Za-z_]', '_', str(self.path))}"
        if name in sys.modules:
            return sys.modules[name]
        spec = spec_from_file_location(name, self.path)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        sys.modules[name] = module
        # Its neighbours can be imported, as by a program that is started; what is installed comes first.
        if str(self.path.parent) not in sys.path:
            sys.path.append(str(self.path.parent))
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module


def _is_variant_of(value: object, module: ModuleType) -> bool:
    """Whether a module's value is a variant, or a whole class of one, that is written there."""
    if isinstance(value, type):
        written = issubclass(value, Variant) and value.__module__ == module.__name__
        return written and not inspect.isabstract(value) and hasattr(value, "name")
    return isinstance(value, Variant)


def _parted(given: str) -> tuple[Path, str]:
    """Path and name of ``FILE.py:NAME``; the name is empty for the whole file."""
    path, colon, wanted = given.rpartition(":")
    return (Path(path), wanted) if colon and wanted.isidentifier() else (Path(given), "")
