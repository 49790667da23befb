"""The work that an execution environment does before its first request.

Lambda limits a request to the processor share of the function's memory: 512 MB is 0.29 of a processor. It limits the
initialisation less, or not at all. A client of a cold start waits for both, so everything that each first request needs
is loaded here. ``python -m benchmarks processor`` measures both ways.
"""

import gc
import os
from collections.abc import Callable, Sequence
from importlib import import_module

from lambdas.adapters import aws
from lambdas.api import contract

_MODULES = ("pg8000.native", "aws_lambda_powertools.utilities.parameters", "botocore.exceptions")


def initialise(
    make_services: Callable[[], object], *clients: str, schemas: Sequence[str] = (contract.PAYMENT,)
) -> None:
    """On Lambda, load what the first request needs: modules, the contract's ``schemas``, AWS ``clients``, and the
    services.

    Elsewhere (tests, tools) it does nothing, so that importing a handler stays cheap and needs no settings. It calls
    nothing over the network: a dependency that is down must not keep an environment from starting.
    """
    if "AWS_LAMBDA_INITIALIZATION_TYPE" not in os.environ:
        return
    for module in _MODULES:
        import_module(module)
    for schema in schemas:
        contract.compile_schema(schema)
    for service in clients:
        aws.client(service)
    make_services()
    gc.freeze()  # else the collector looks through all of this again, in the middle of a request
