"""`command-line`: the reference of a program, read off its argparse parser."""

import argparse
import importlib
import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from docs.extensions.nodes import block, code, paragraph, section, table


class CommandLine(SphinxDirective):
    """Describe `nqm` or `lopt`: usage, arguments and options of every subcommand."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Read the parser that the program itself is run by."""
        program = self.arguments[0]
        parser = importlib.import_module(f"{program}.cli").build_parser()
        found: list[nodes.Node] = []
        for command in commands(parser):
            for node in described(command):
                self.state.document.note_implicit_target(node, node)
                found.append(node)
        return found


def commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parsers of the subcommands, and of theirs."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                nested = list(commands(inner))
                yield from nested or [inner]


def described(parser: argparse.ArgumentParser) -> Iterator[nodes.section]:
    """One subcommand as a section."""
    found = section(parser.prog, parser.prog.replace(" ", "-"))
    found += [paragraph(*marked(text)) for text in (parser.description or "").split("\n\n") if text]
    found += block(usage(parser))
    for group in parser._action_groups:
        actions = [a for a in group._group_actions if a.help is not argparse.SUPPRESS]
        actions = [a for a in actions if not isinstance(a, argparse._HelpAction)]
        if not actions:
            continue
        if group.title not in ("options", "positional arguments"):
            found += paragraph(nodes.strong("", str(group.title)))
            found += paragraph(*marked(group.description or ""))
        rows = [(signature(a), marked(text(parser, a))) for a in actions]
        found += table(("argument", "meaning"), rows, (35, 65), "arguments")
    if parser.epilog:
        found += block(parser.epilog)
    yield found


def usage(parser: argparse.ArgumentParser) -> str:
    """The usage lines, wrapped for a page."""
    formatter = argparse.HelpFormatter(parser.prog, width=92, max_help_position=24)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups, "")
    return formatter.format_help().strip()


def signature(action: argparse.Action) -> nodes.literal:
    """The flag with what it takes."""
    formatter = argparse.HelpFormatter("", width=10_000)
    values = ""
    if action.nargs != 0 and not isinstance(action, argparse.BooleanOptionalAction):
        default = formatter._get_default_metavar_for_optional(action)
        if not action.option_strings:
            default = formatter._get_default_metavar_for_positional(action)
        values = formatter._format_args(action, default)
    if isinstance(action.metavar, str) and not action.option_strings:
        values = action.metavar
    return code(" ".join(part for part in (", ".join(action.option_strings), values) if part))


def text(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """The help of an argument with its values filled in, and the default if it names none."""
    values = {**vars(action), "prog": parser.prog}
    said = (action.help or "") % values
    default = action.default
    silent = default in (None, argparse.SUPPRESS, False) or default == [] or "default" in said
    return said if silent else f"{said} (default: {default})"


def marked(said: str) -> list[str | nodes.Node]:
    """The text with flags, and what is between backticks, as code."""
    parts = re.split(r"`+([^`]+)`+|(?<![\w-])(--[a-z][\w-]*)", said)
    found: list[str | nodes.Node] = []
    for plain, quoted, flag in zip(parts[::3], [*parts[1::3], ""], [*parts[2::3], ""], strict=True):
        found += [plain] if plain else []
        found += [code(quoted or flag)] if quoted or flag else []
    return found


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
