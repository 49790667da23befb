"""The move of another payment system to this platform, with no downtime: ``python -m migration COMMAND --env E``."""

import pipeline as pipeline  # says in a sentence when this Python is too old or lacks the packages
