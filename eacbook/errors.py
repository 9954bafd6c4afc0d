"""Errors that a user can correct. Their messages say how."""

LONGEST = 1000
"""Most letters of a message. A longer one only repeats the content of a file."""


class InputError(ValueError):
    """A user's value or file cannot be used. The message names it, and says what was expected.

    As text it is one line that every terminal can print, even if a file name has unusual letters.
    """

    def __str__(self) -> str:
        return one_line(super().__str__())


class NonFiniteLossError(ArithmeticError):
    """The training loss became infinite or not a number; the message says where and what to try."""


def one_line(text: str) -> str:
    """The text as one line of at most :data:`LONGEST` letters, for messages.

    A letter that cannot be printed in a line becomes an escape such as ``\\n``. If the text is longer,
    its middle is left out.
    """
    line = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )
    half = LONGEST // 2 - 3
    return line if len(line) <= LONGEST else f"{line[:half]} ... {line[-half:]}"
