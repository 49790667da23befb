"""The console: promotions, releases, gates, alarms, payments and evidence as pages for people.

A page shows what the commands show, and an action on it starts the command that a person would type. So every guard
holds here too, and closing the console ends nothing. ``docs/console.md`` tells how to use it.

- ``app``: the routes; ``security``: who may call them; ``live``: pages that change while they are looked at;
- ``promotions``, ``releases``, ``gates``, ``monitoring``, ``payments``, ``evidence``: one package for
  each page. ``reading`` (of
  promotions: ``model``) holds its port and what stands behind it, ``page`` what the template shows, ``routes`` its
  routes;
- ``actions``: starts commands, and keeps the record of who did what and why.
"""

import pipeline  # noqa: F401 - it explains a missing package, before anything of it is imported
