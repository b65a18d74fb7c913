"""The notebooks, headless: refuse, execute, resume, publish.

`run` executes notebooks into a folder, `run_study` the steps of a measured
study, `run_grid` all combinations of some values; `run_in_place` puts executed
notebooks in the committed ones' place, and `write_handouts` writes them
without outputs and solutions.
"""

from helpers.runner.batch import Report, run, run_in_place
from helpers.runner.kernel import Interrupted
from helpers.runner.notebooks import (
    Refused,
    blemishes,
    clean,
    parse_grid,
    parse_settings,
    read_notebooks,
    write_handouts,
)
from helpers.runner.study import run_grid, run_study
