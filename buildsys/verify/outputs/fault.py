"""Why outputs cannot be compared or scored."""

from __future__ import annotations


class VerifyError(Exception):
    """The data do not allow a judgement; passing or failing an artifact on them would be a guess.

    Attributes:
        message: What is wrong.
        hint: The way out, as an imperative.
        field: The recipe field at fault, relative to the model.
    """

    def __init__(self, message: str, hint: str, field: str = "samples") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.field = field
