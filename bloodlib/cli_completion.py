"""Completion of commands and options in a shell, written from the parser itself."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

SHELLS = ("bash", "zsh", "fish")


def words(parser: argparse.ArgumentParser, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Give every chain of commands with what may follow it: commands, options and the choices of arguments."""
    follow: list[str] = []
    below: list[tuple[str, argparse.ArgumentParser]] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            below += action.choices.items()
        elif action.option_strings:
            follow += action.option_strings
        elif action.choices:
            follow += map(str, action.choices)
    yield before, sorted([*follow, *(name for name, _ in below)])
    for name, inner in below:
        yield from words(inner, (*before, name))


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Write the completion of one shell.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    shell : {"bash", "zsh", "fish"}

    Returns
    -------
    str
        To be sourced; file names are completed where no word fits.
    """
    name = parser.prog
    if shell == "fish":
        lines = [f"complete -c {name} -f -n '{_fish(chain)}' -a '{' '.join(all_)}'" for chain, all_ in words(parser)]
        return "\n".join([*lines, f"complete -c {name} -F -n 'test (count (commandline -opc)) -gt 2'", ""])
    cases = [f'    "{" ".join(chain)}") all="{" ".join(all_)}" ;;' for chain, all_ in words(parser)]
    lines = [
        f"_{name}() {{",
        '  local here="${COMP_WORDS[COMP_CWORD]}" chain="" all="" word',
        '  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
        '    case "$word" in -*) break ;; esac',
        '    case "${chain:+$chain }$word" in',
        f'      {"|".join(_quoted(chain) for chain, _ in words(parser) if chain)}) chain="${{chain:+$chain }}$word" ;;',
        "      *) break ;;",
        "    esac",
        "  done",
        '  case "$chain" in',
        *cases,
        "  esac",
        '  COMPREPLY=($(compgen -W "$all" -- "$here"))',
        "}",
        f"complete -o default -F _{name} {name}",
    ]
    first = ["autoload -U +X bashcompinit && bashcompinit"] if shell == "zsh" else []
    return "\n".join([*first, *lines, ""])


def _quoted(chain: tuple[str, ...]) -> str:
    return f'"{" ".join(chain)}"'


def _fish(chain: tuple[str, ...]) -> str:
    if not chain:
        return "__fish_use_subcommand"
    return "; and ".join(f"__fish_seen_subcommand_from {name}" for name in chain)
