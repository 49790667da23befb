"""Arguments that several commands take."""

import argparse

from environments import Environment, environment


def environment_name(text: str) -> Environment:
    """The settings of the environment of this name. The parser shows why a name is refused."""
    try:
        return environment(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
