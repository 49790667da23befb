"""The findings of the rule packs: read from a synthesis, compared between two."""

from pipeline.review.findings.change import UNKNOWN as UNKNOWN
from pipeline.review.findings.change import Changed as Changed
from pipeline.review.findings.change import changed_lines as changed_lines
from pipeline.review.findings.comparison import Findings as Findings
from pipeline.review.findings.comparison import compare as compare
from pipeline.review.findings.reading import REPORT as REPORT
from pipeline.review.findings.reading import Finding as Finding
from pipeline.review.findings.reading import NoFindings as NoFindings
from pipeline.review.findings.reading import read as read
