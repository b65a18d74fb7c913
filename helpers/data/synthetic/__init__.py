"""Images made from formulas: skin, acne, graded severity, blood smears."""
