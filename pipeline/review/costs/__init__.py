"""What the templates cost a month before the first request, by a table of list prices."""

from pipeline.review.costs.estimate import compare as compare
