r"""``$regex``: Perl's regular expressions, as MongoDB reads them, by Python's ``re``.

The two agree but for a few things. What would mean something else is refused. And in PCRE ``\d``,
``\w``, ``\s`` and ``\b`` know ASCII only while letters of all alphabets fold their case, for which
``re`` has one switch: with the option ``i`` the former are written out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from lume_services.errors import UnsupportedQueryError

__all__ = ["pattern"]

_FLAGS: Final = {
    "i": re.IGNORECASE,
    "m": re.MULTILINE,
    "s": re.DOTALL,
    "u": re.NOFLAG,  # UTF, which always holds
    "x": re.VERBOSE,
}
_OTHERWISE_IN_PCRE: Final = re.compile(r"\[:\^?\w+:\]|(?<!\\)(?:\\\\)*\\Z")
_TOKEN: Final = re.compile(r"\\.|\[\^?\]?|\(\?#[^)]*\)|.", re.DOTALL)
_VERBOSE_TOKEN: Final = re.compile(r"\\.|\[\^?\]?|\(\?#[^)]*\)|#[^\n]*|.", re.DOTALL)
_IN_ASCII: Final = {
    r"\d": "0-9",
    r"\D": r"\x00-/:-\U0010ffff",
    r"\s": r" \t-\r",
    r"\S": r"\x00-\x08\x0e-\x1f!-\U0010ffff",
    r"\w": "_A-Za-z0-9",
    r"\W": r"\x00-/:-@\[-\^`{-\u012f\u0132-\u017e\u0180-\u2129\u212b-\U0010ffff",
}
"""Kinds of characters as ranges. Each ends in one, so that a ``-`` behind it means itself. The four
letters outside ASCII that fold to one inside (U+0130, U+0131, U+017F, U+212A) are taken for letters
of it."""


def pattern(regex: Any, options: Any) -> Callable[[Any], bool]:
    """``$regex`` with its ``$options``: text in which the pattern is found.

    Raises:
        UnsupportedQueryError: It is not a pattern, or one that Python would read differently.
    """
    if not isinstance(regex, str) or not isinstance(options, str):
        raise UnsupportedQueryError(f"$regex and $options take text, not {regex!r}, {options!r}.")
    if unknown := set(options) - set(_FLAGS):
        raise UnsupportedQueryError(
            f"$options takes the letters {''.join(_FLAGS)}, not {''.join(sorted(unknown))!r}."
        )
    if found := _OTHERWISE_IN_PCRE.search(regex):
        raise UnsupportedQueryError(
            f"$regex does not take {found.group()!r}, in {regex!r}: it means one thing to "
            "MongoDB and another one, or nothing, to Python."
        )
    flags = re.NOFLAG if "i" in options else re.ASCII
    for letter in options:
        flags |= _FLAGS[letter]
    try:
        compiled = re.compile(regex, flags)
        if "i" in options:
            compiled = re.compile(_in_ascii(regex, "x" in options), flags)
    except (re.error, OverflowError, RecursionError) as error:
        raise UnsupportedQueryError(f"$regex: {regex!r} is not a pattern: {error}") from error
    search = compiled.search
    return lambda value: isinstance(value, str) and search(value) is not None


def _in_ascii(regex: str, verbose: bool) -> str:
    r"""The pattern with ``\d``, ``\w``, ``\s``, ``\b`` and their opposites confined to ASCII."""
    done: list[str] = []
    in_class = False
    for part in (_VERBOSE_TOKEN if verbose else _TOKEN).findall(regex):
        if part in _IN_ASCII:
            part = _IN_ASCII[part] if in_class else f"[{_IN_ASCII[part]}]"
        elif part in (r"\b", r"\B") and not in_class:
            part = f"(?a:{part})"
        elif part[0] == "[":
            in_class = True
        elif part == "]":
            in_class = False
        done.append(part)
    return "".join(done)
