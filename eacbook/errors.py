"""What can go wrong by a user's doing, each with a message that says what to mend."""


class InputError(ValueError):
    """Something given from outside cannot be used; the message names it and what was expected."""


class NonFiniteLossError(ArithmeticError):
    """The training loss became infinite or not a number; the message says where and what to try."""
