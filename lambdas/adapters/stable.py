"""What the stable version of the transactions' function is set to do."""

from lambdas.adapters import aws


def refuses_amendments(function: str) -> bool:
    """Whether it leaves decisions and reversals of imported payments to their source. ``function``: the ARN of its
    alias. Raises ``Unavailable``, and ``RuntimeError`` when AWS does not show its variables."""
    with aws.available("lambda"):
        answer = aws.patient_client("lambda").get_function_configuration(FunctionName=function)
    environment = answer.get("Environment", {})
    if "Error" in environment:  # the key of the variables may not be used
        raise RuntimeError(f"the variables of {function} can't be read: {environment['Error'].get('Message')}")
    return bool(environment.get("Variables", {}).get("SOURCE_AMENDS") == "true")
