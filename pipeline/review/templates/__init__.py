"""The synthesised templates: read from an assembly, compared, and listed with the most important change first."""

from pipeline.review.templates.changes import compare as compare
from pipeline.review.templates.entries import condense as condense
