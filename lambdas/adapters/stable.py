"""What the stable version of the transactions' function is set to do."""

from lambdas.adapters import aws


def refuses_amendments(function: str) -> bool:
    """Whether it leaves decisions and reversals of imported payments to their source. ``function``: the ARN of its
    alias. Raises ``Unavailable``."""
    with aws.available("lambda"):
        answer = aws.patient_client("lambda").get_function_configuration(FunctionName=function)
    return bool(answer.get("Environment", {}).get("Variables", {}).get("SOURCE_AMENDS") == "true")
