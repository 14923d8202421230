"""What goes wrong in a command, and how it is told to a person: in one line."""

import re
import sys

# Arguments of Python whose option has another name.
_OPTIONS = {"name": "task", "text_file": "text"}


class UsageError(ValueError):
    """An argument cannot be used; the message is one line for the user."""


def in_options(message: str) -> str:
    """A message about arguments of Python in the words of the command line.

    Example:
        >>> in_options("`text_file` must be a path. Received: text_file=3")
        '--text must be a path. Received: --text 3'
    """

    def option(name: str) -> str:
        return "--" + _OPTIONS.get(name, name).replace("_", "-")

    message = re.sub(r"`([a-z]\w*)`", lambda match: option(match[1]), message)
    head, received, values = message.partition("Received: ")
    values = re.sub(r"(^|, )([a-z]\w*)=", lambda match: f"{match[1]}{option(match[2])} ", values)
    return head + received + values


def fail(command: str, message: str, code: int = 2) -> int:
    """Print why the command ends; returns its exit code, 2 for bad input."""
    print(f"{command}: {message}", file=sys.stderr)
    return code
