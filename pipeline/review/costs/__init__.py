"""The monthly cost of the templates without any request, from a table of list prices."""

from pipeline.review.costs.estimate import compare as compare
