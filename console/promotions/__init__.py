"""Promotions: the path of commits to prod. ``model`` with its port; ``local`` and ``codepipeline`` stand behind it."""
