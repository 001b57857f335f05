"""What JSON must look like: checks that are put together like the documents.

A check takes a value and its path and raises `Wrong` where the value is not
what the documents say. Fields that the documents do not know are wrong too.
"""

import re


class Wrong(Exception):
    """`path` is the field, as in `messages.0.content`; empty for the whole."""

    def __init__(self, path, message):
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path


def below(path, name):
    return f"{path}.{name}" if path else str(name)


def anything(value, path):
    pass


def text(pattern=None, least=0):
    def check(value, path):
        if not isinstance(value, str):
            raise Wrong(path, "Input should be a valid string")
        if len(value) < least:
            raise Wrong(path, f"String should have at least {least} character")
        if pattern and not re.fullmatch(pattern, value):
            raise Wrong(path, f"String should match pattern '^{pattern}$'")

    return check


def number(least=None, most=None, whole=False):
    kinds = int if whole else (int, float)

    def check(value, path):
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise Wrong(path, "Input should be a valid " + ("integer" if whole else "number"))
        if least is not None and value < least:
            raise Wrong(path, f"Input should be greater than or equal to {least}")
        if most is not None and value > most:
            raise Wrong(path, f"Input should be less than or equal to {most}")

    return check


def boolean(value, path):
    if not isinstance(value, bool):
        raise Wrong(path, "Input should be a valid boolean")


def one_of(*words):
    def check(value, path):
        if value not in words:
            raise Wrong(path, f"Input should be one of {', '.join(map(repr, words))}")

    return check


def array(item, least=0):
    def check(value, path):
        if not isinstance(value, list):
            raise Wrong(path, "Input should be a valid list")
        if len(value) < least:
            raise Wrong(path, f"List should have at least {least} item")
        for index, each in enumerate(value):
            item(each, below(path, index))

    return check


def mapping(value, path):
    if not isinstance(value, dict):
        raise Wrong(path, "Input should be a valid dictionary")


def fields(required, optional=()):
    """An object with these fields and no others."""
    known = dict(required) | dict(optional)

    def check(value, path):
        mapping(value, path)
        for name in required:
            if name not in value:
                raise Wrong(below(path, name), "Field required")
        for name, each in value.items():
            if name not in known:
                raise Wrong(below(path, name), "Extra inputs are not permitted")
            known[name](each, below(path, name))

    check.known = set(known)
    return check


def tagged(tag, variants):
    """An object whose field `tag` says which of the variants it is."""

    def check(value, path):
        mapping(value, path)
        if value.get(tag) not in variants:
            expected = ", ".join(map(repr, variants))
            raise Wrong(
                path, f"Input tag {value.get(tag)!r} does not match any of the expected tags: {expected}"
            )
        variants[value[tag]](value, path)

    return check


def string_or(other):
    def check(value, path):
        if not isinstance(value, str):
            other(value, path)

    return check


def or_null(other):
    def check(value, path):
        if value is not None:
            other(value, path)

    return check
