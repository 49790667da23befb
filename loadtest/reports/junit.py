"""JUnit XML: one test case per route, and one for the run as a whole. Only a pass is a passed test."""

from xml.etree import ElementTree as Xml

from loadtest.p99 import GateVerdict
from loadtest.result import Result
from reporting.text import visible


def render(result: Result) -> str:
    suite = Xml.Element("testsuite", name=f"load gate {result.subject.environment}", timestamp=result.subject.started)
    _case(suite, "run", result.verdict, result.reasons, result.measured_seconds)
    for route in result.routes:
        _case(suite, f"p99 of {route.route}", route.verdict, route.reasons, result.measured_seconds)
    return _text(suite)


def render_trouble(environment: str, message: str) -> str:
    """A suite whose only case is an error."""
    suite = Xml.Element("testsuite", name=f"load gate {environment}")
    Xml.SubElement(_new_case(suite, "run", 0.0), "error", message=message)
    return _text(suite)


def _case(suite: Xml.Element, name: str, verdict: GateVerdict, reasons: list[str], seconds: float) -> None:
    case = _new_case(suite, name, seconds)
    text = "\n".join(reasons)
    if verdict is GateVerdict.FAIL:
        Xml.SubElement(case, "failure", message=str(verdict)).text = text
    elif verdict is not GateVerdict.PASS:
        Xml.SubElement(case, "error", message=str(verdict)).text = text
    else:
        Xml.SubElement(case, "system-out").text = text


def _new_case(suite: Xml.Element, name: str, seconds: float) -> Xml.Element:
    return Xml.SubElement(suite, "testcase", classname=suite.get("name", ""), name=name, time=f"{seconds:.3f}")


def _text(suite: Xml.Element) -> str:
    for element in suite.iter():  # XML can't hold control characters, not even escaped
        element.text = visible(element.text) if element.text else None
        element.attrib.update({name: visible(value) for name, value in element.attrib.items()})
    for kind, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error")):
        suite.set(kind, str(len(list(suite.iter(tag)))))
    root = Xml.Element("testsuites")
    root.append(suite)
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
