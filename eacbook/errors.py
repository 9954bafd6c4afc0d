"""What can go wrong by a user's doing, each with a message that says what to mend."""

LONGEST = 1000
"""Letters of a message: what holds more repeats somebody's file."""


class InputError(ValueError):
    """Something given from outside cannot be used; the message names it and what was expected.

    As text it is one line that every terminal can print, whatever stands in the name of a file.
    """

    def __str__(self) -> str:
        return one_line(super().__str__())


class NonFiniteLossError(ArithmeticError):
    """The training loss became infinite or not a number; the message says where and what to try."""


def one_line(text: str) -> str:
    """The text as one line of at most :data:`LONGEST` letters, for messages.

    A letter that cannot be printed in a line becomes an escape such as ``\\n``; of a longer text the
    middle is left out.
    """
    line = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )
    half = LONGEST // 2 - 3
    return line if len(line) <= LONGEST else f"{line[:half]} ... {line[-half:]}"
