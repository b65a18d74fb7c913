"""The notebooks, headless: refuse, execute, resume, publish.

`run` executes notebooks into a folder: some, all combinations of some values,
or the steps of a measured study. `run_in_place` puts executed notebooks in
the committed ones' place, and `write_handouts` writes them without outputs
and solutions.
"""

from helpers.runner.batch import Report, run, run_in_place
from helpers.runner.kernel import Interrupted
from helpers.runner.notebooks import (
    Refused,
    blemishes,
    clean,
    parse_settings,
    read_notebooks,
    write_handouts,
)
