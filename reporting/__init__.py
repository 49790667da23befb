"""The HTML reports' common kit: one page frame, one style sheet, charts.

A report keeps its own template beside its code. The template extends ``page.html`` and takes its parts (badge, chart,
key, table) from ``parts.html``; both are in ``reporting/templates``. Every page is one file: it has no script, and it
loads nothing.
"""

from reporting.page import render as render
