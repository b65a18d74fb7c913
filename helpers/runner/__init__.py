"""The headless runner behind ``helpers.run`` and ``helpers.refresh``.

``book`` reads the notebooks' parameters and refuses what cannot be run,
``folder`` is a run on disk, ``kernel`` executes one notebook and ends by a
signal, ``provenance`` names the versions and code that results are made of,
``batch`` runs the notebooks in order, and ``sharing`` puts executed ones in
the place of the committed ones.
"""
