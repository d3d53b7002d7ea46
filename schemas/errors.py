"""What is wrong with what a stage was given, for whoever wrote the recipe."""


class InputsError(ValueError):
    """A stage cannot work on its inputs; the message says what to change in recipe or texts."""
