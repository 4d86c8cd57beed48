"""The documented skeleton of a Python module, read from its syntax tree.

Not griffe's: of a name defined twice that keeps the last, which is a fallback as a rule, and
it does not see docstrings attached by a call (docs/stages/source.md has the figures).
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import cleandoc
from pathlib import Path

from llm.errors import ExpectedError

_LONGEST_DEFAULT = 40
_PLACEHOLDER = re.compile(r"(?<!\{)\{\w+\}(?!\})")
_LEADING_SIGNATURE = re.compile(r"^(\w+)(\([^\n]*\))(?:\s*->[^\n]*)?\n")


class SourceError(ExpectedError, ValueError):
    """A source file that does not decode or parse."""


@dataclass(frozen=True)
class Definition:
    """A class, function or property.

    Attributes:
        kind: "class", "function" or "property".
        signature: what follows the name: "(x, ord=None)"; empty for a property.
        doc: its docstring, dedented; empty when it has none.
        members: of a class: public methods, properties, classes.
    """

    name: str
    kind: str
    signature: str
    doc: str
    members: tuple[Definition, ...] = ()

    def documented(self) -> bool:
        """Whether it or one of its members has a docstring."""
        return bool(self.doc) or any(member.documented() for member in self.members)


@dataclass
class Module:
    """What of a module can be seen from outside.

    Attributes:
        exports: its literal `__all__`, or `None`.
        imported: name -> (module, name there) of its from-imports; an empty name is the module.
        stars: modules imported with `*`.
        attached: (dotted name, docstring) set on compiled functions by calls of `add_newdoc`
            (numpy) and `add_docstr` (torch).
    """

    name: str
    doc: str = ""
    definitions: dict[str, Definition] = field(default_factory=dict)
    exports: list[str] | None = None
    imported: dict[str, tuple[str, str]] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    attached: list[tuple[str, str]] = field(default_factory=list)


def is_public(name: str) -> bool:
    """Whether no component of a dotted name begins with an underscore."""
    return not any(part.startswith("_") for part in name.split("."))


def read_module(name: str, path: Path, package: bool) -> Module:
    """Parse one source file.

    Raises:
        SourceError: it is not valid Python for the running interpreter, or undecodable.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's strings
            tree = ast.parse(path.read_bytes(), filename=path.name)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise SourceError(f"{name}: {error}") from error
    module = Module(name, _docstring(tree))
    parent = name if package else name.rpartition(".")[0]
    for node in _statements(tree.body):
        _collect(node, module, parent)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            module.attached += _attached_docstrings(node.value)
    return module


def _attached_docstrings(call: ast.Call) -> Iterator[tuple[str, str]]:
    name, values = _last_name(call), call.args
    if name == "add_newdoc" and len(values) == 3:
        place, thing, doc = values
        dotted = ".".join(_text(part) for part in (place, thing))
        for entry in doc.elts if isinstance(doc, ast.List) else [doc]:
            if isinstance(entry, ast.Tuple) and len(entry.elts) == 2:
                yield f"{dotted}.{_text(entry.elts[0])}", _clean(_text(entry.elts[1]))
            else:
                yield dotted, _clean(_text(entry))
    elif name == "add_docstr" and len(values) == 2 and isinstance(values[0], ast.Attribute):
        yield ast.unparse(values[0]), _clean(_text(values[1]))
    elif name == "add_docstr_all" and len(values) == 2:
        yield f"torch.Tensor.{_text(values[0])}", _clean(_text(values[1]))


def _text(node: ast.expr) -> str:
    """A string built of literals; of a `.format(…)` the template, its placeholders left out."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.Call) and _last_name(node) == "format":
        function = node.func
        template = _text(function.value) if isinstance(function, ast.Attribute) else ""
        return _PLACEHOLDER.sub("", template).replace("{{", "{").replace("}}", "}")
    return ""


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Top-level statements, those under `if` and `try` included."""
    for node in body:
        if isinstance(node, ast.If):
            yield from _statements(node.body)
            yield from _statements(node.orelse)
        elif isinstance(node, ast.Try):
            yield from _statements(node.body)
            for handler in node.handlers:
                yield from _statements(handler.body)
            yield from _statements(node.orelse)
        else:
            yield node


def _collect(node: ast.stmt, module: Module, parent: str) -> None:
    definition = _definition(node)
    if definition is not None:
        # The first of several wins: a fallback in `except ImportError` comes later.
        module.definitions.setdefault(definition.name, definition)
    elif isinstance(node, ast.ImportFrom):
        origin = _origin(node, parent)
        for alias in node.names:
            if alias.name == "*":
                module.stars.append(origin)
            else:
                module.imported.setdefault(alias.asname or alias.name, (origin, alias.name))
    elif isinstance(node, (ast.Assign, ast.AugAssign)):
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if isinstance(target, ast.Name) and target.id == "__all__":
            module.exports = (module.exports or []) + _strings(node.value)


def _origin(node: ast.ImportFrom, parent: str) -> str:
    if not node.level:
        return node.module or ""
    parts = parent.split(".")
    kept = parts[: len(parts) - (node.level - 1)]
    return ".".join([*kept, node.module] if node.module else kept)


def _strings(node: ast.expr) -> list[str]:
    if isinstance(node, (ast.List, ast.Tuple)):
        values = [e.value for e in node.elts if isinstance(e, ast.Constant)]
        return [value for value in values if isinstance(value, str)]
    if isinstance(node, ast.BinOp):
        return _strings(node.left) + _strings(node.right)
    return []


def _docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return _clean(ast.get_docstring(node, clean=False) or "")


def _clean(text: str) -> str:
    # A lone surrogate can be spelt in a literal and has no UTF-8 form.
    return cleandoc(text).encode("utf-8", "replace").decode()


def attach(modules: Mapping[str, Module]) -> None:
    """Turn the `attached` docstrings into definitions of the modules they name.

    The signature is the first line of such a docstring, where it is one.
    """
    for source in [modules[name] for name in sorted(modules)]:
        for dotted, doc in source.attached:
            owner, _, name = dotted.rpartition(".")
            match = _LEADING_SIGNATURE.match(doc + "\n")
            signature = match.group(2) if match and match.group(1) == name else ""
            text = (doc + "\n")[match.end() :].removeprefix("--\n").strip("\n") if match else doc
            made = Definition(name, "function" if signature else "property", signature, text)
            if not text.strip() or not is_public(name):
                continue
            if owner in modules:
                modules[owner].definitions.setdefault(name, made)
                continue
            outer, _, class_name = owner.rpartition(".")
            holder = modules.get(outer)
            if holder is None:
                continue
            found = holder.definitions.get(class_name) or Definition(class_name, "class", "", "")
            if found.kind != "class":
                found = Definition(class_name, "class", "", found.doc)
            if all(member.name != name for member in found.members):
                members = (*found.members, made)
                found = Definition(class_name, "class", found.signature, found.doc, members)
                holder.definitions[class_name] = found


def _definition(node: ast.stmt) -> Definition | None:
    if isinstance(node, ast.ClassDef):
        return _class(node)
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return None
    decorators = {_last_name(decorator) for decorator in node.decorator_list}
    if "overload" in decorators or "setter" in decorators or "deleter" in decorators:
        return None
    doc = _docstring(node)
    if decorators & {"property", "cached_property"}:
        return Definition(node.name, "property", "", doc)
    return Definition(node.name, "function", _signature(node.args, drop_first=False), doc)


def _class(node: ast.ClassDef) -> Definition:
    members: dict[str, Definition] = {}
    signature = ""
    for item in _statements(node.body):
        if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if item.name == "__init__":
                signature = _signature(item.args, drop_first=True)
            static = any(_last_name(d) == "staticmethod" for d in item.decorator_list)
            member = _definition(item) if is_public(item.name) else None
            if member is not None and member.kind == "function":
                bare = _signature(item.args, drop_first=not static)
                member = Definition(member.name, member.kind, bare, member.doc)
        elif isinstance(item, ast.ClassDef) and is_public(item.name):
            member = _class(item)
        else:
            member = None
        if member is not None and member.documented():
            members.setdefault(member.name, member)
    return Definition(node.name, "class", signature, _docstring(node), tuple(members.values()))


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _signature(arguments: ast.arguments, drop_first: bool) -> str:
    """Parameters with defaults, without annotations; long defaults become "..."."""
    positional = [*arguments.posonlyargs, *arguments.args]
    padding: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    pieces = [
        _parameter(argument.arg, default)
        for argument, default in zip(positional, [*padding, *arguments.defaults], strict=True)
    ]
    if arguments.posonlyargs:
        pieces.insert(len(arguments.posonlyargs), "/")
    if drop_first and positional:
        pieces = pieces[1:]
        if pieces[:1] == ["/"]:
            pieces = pieces[1:]
    if arguments.vararg:
        pieces.append(f"*{arguments.vararg.arg}")
    elif arguments.kwonlyargs:
        pieces.append("*")
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        pieces.append(_parameter(argument.arg, default))
    if arguments.kwarg:
        pieces.append(f"**{arguments.kwarg.arg}")
    return f"({', '.join(pieces)})"


def _parameter(name: str, default: ast.expr | None) -> str:
    if default is None:
        return name
    text = ast.unparse(default)
    if len(text) > _LONGEST_DEFAULT or "\n" in text:
        text = "..."
    return f"{name}={text}".encode("utf-8", "replace").decode()
