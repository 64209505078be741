"""Renders the Helm chart of `deploy/kubernetes` as `helm template` does: the part of Go's templates that the chart uses, and no
more. What it does not know it refuses, so that the chart cannot come to depend on something that was never looked at."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parents[3] / "deploy" / "kubernetes"
_ACTION = re.compile(r"(\s*)\{\{(-?)(?P<body>.*?)(-?)\}\}(\s*)", re.DOTALL)


def render(release: str = "test", **changes: Any) -> list[dict[str, Any]]:
    """The documents of the chart, in order; `changes` are values by their dotted path with `__` for dots."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for path, value in changes.items():
        *folders, name = path.split("__")
        at = values
        for folder in folders:
            at = at[folder]
        assert name in at, f"{path} is no value of the chart"
        at[name] = value
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    root = {
        "Values": values,
        "Release": {"Name": release, "Service": "Helm"},
        "Chart": {key[0].upper() + key[1:]: value for key, value in chart.items()},
    }
    renderer = _Renderer(root)
    texts = {}
    for file in sorted((CHART / "templates").iterdir()):
        texts[file.name] = renderer.text(file.read_text())
    assert texts["NOTES.txt"].strip()
    documents: list[dict[str, Any]] = []
    for name, text in texts.items():
        if name.endswith(".yaml"):
            documents += [d for d in yaml.safe_load_all(text) if d]
    return documents


class _Renderer:
    def __init__(self, root: dict[str, Any]) -> None:
        self.root = root
        self.named: dict[str, list[Any]] = {}

    def text(self, source: str) -> str:
        tokens = _tokens(source)
        tree, rest = _parse(tokens, 0, ())
        assert rest == len(tokens), "an `end` too many"
        return self._run(tree, self.root)

    def _run(self, tree: list[Any], dot: Any) -> str:
        out = ""
        for node in tree:
            if isinstance(node, str):
                out += node
                continue
            kind, argument, body, otherwise = node
            if kind == "define":
                self.named[json.loads(argument)] = body
            elif kind == "value":
                out += _printed(self._pipeline(argument, dot))
            elif kind == "if":
                out += self._run(body if self._pipeline(argument, dot) else otherwise, dot)
            elif kind == "with":
                value = self._pipeline(argument, dot)
                out += self._run(body, value) if value else self._run(otherwise, dot)
            elif kind == "range":
                out += "".join(self._run(body, value) for value in self._pipeline(argument, dot))
        return out

    def _pipeline(self, text: str, dot: Any) -> Any:
        first, *stages = [stage.strip() for stage in text.split("|")]
        value = self._command(first, dot)
        for stage in stages:
            name, *arguments = stage.split()
            if name == "quote" and not arguments:
                value = json.dumps(_printed(value))
            elif name == "nindent" and len(arguments) == 1:
                pad = " " * int(arguments[0])
                value = "\n" + "\n".join(pad + line if line else line for line in str(value).split("\n"))
            else:
                raise ValueError(f"stage {stage!r} is not known here")
        return value

    def _command(self, text: str, dot: Any) -> Any:
        words = text.split()
        if words[0] == "include" and len(words) == 3 and words[2] == ".":
            return self._run(self.named[json.loads(words[1])], dot)
        if words[0] == "toYaml" and len(words) == 2:
            return yaml.safe_dump(self._value(words[1], dot), default_flow_style=False, sort_keys=False).rstrip("\n")
        if words[0] == "not" and len(words) == 2:
            return not self._value(words[1], dot)
        if len(words) == 1:
            return self._value(words[0], dot)
        raise ValueError(f"{text!r} is not known here")

    def _value(self, text: str, dot: Any) -> Any:
        if text == ".":
            return dot
        if not text.startswith("."):
            raise ValueError(f"{text!r} is not known here")
        for name in text[1:].split("."):
            # A mistyped name is nothing in Helm; here it is an error.
            dot = dot[name]
        return dot


def _printed(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _tokens(source: str) -> list[Any]:
    tokens: list[Any] = []
    at = 0
    for match in _ACTION.finditer(source):
        before, left, body, right, after = match.group(1), match.group(2), match.group("body"), match.group(4), match.group(5)
        start, end = match.start(), match.end() - len(after)
        text = source[at:start] + ("" if left else before)
        if text:
            tokens.append(text)
        at = match.end() if right else end
        body = body.strip()
        if not body.startswith("/*"):
            tokens.append((body,))
    tokens.append(source[at:])
    return tokens


def _parse(tokens: list[Any], at: int, until: tuple[str, ...]) -> tuple[list[Any], int]:
    tree: list[Any] = []
    while at < len(tokens):
        token = tokens[at]
        at += 1
        if isinstance(token, str):
            tree.append(token)
            continue
        word, _, argument = token[0].partition(" ")
        if word in until:
            return tree, at - 1
        if word in ("if", "with", "range", "define"):
            body, at = _parse(tokens, at, ("else", "end"))
            otherwise: list[Any] = []
            if tokens[at] == ("else",):
                otherwise, at = _parse(tokens, at + 1, ("end",))
            assert tokens[at] == ("end",), f"{token[0]} has no end"
            at += 1
            tree.append((word, argument.strip(), body, otherwise))
        elif word in ("else", "end"):
            raise ValueError(f"{word} without a beginning")
        else:
            tree.append(("value", token[0], [], []))
    assert not until, f"the template ends before {until}"
    return tree, at
