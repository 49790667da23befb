"""The synthesised templates: read from an assembly, compared, and told in the order in which a reviewer needs it."""

from pipeline.review.templates.changes import compare as compare
from pipeline.review.templates.entries import condense as condense
