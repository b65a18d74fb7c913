"""The headless runner behind ``helpers.run`` and ``helpers.runner.refresh``.

``book`` reads the notebooks' parameters and refuses what cannot be run,
``folder`` is a run on disk, ``kernel`` executes one notebook and ends by a
signal, ``provenance`` names what results are made of: versions, code, data;
``batch`` runs the notebooks in order, ``study`` a study's steps, and
``sharing`` puts executed notebooks in the place of the committed ones.
"""
