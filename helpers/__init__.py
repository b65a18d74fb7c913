"""What the notebooks draw on: ten rooms, each a concept of the field.

paths, session : where things lie; a notebook's settings, folders and device
imbalance : class counts and weights, resampling, splits and their leakage
evaluation : metrics, intervals over independent groups, detection scores
data : data sets by name, the audit, segmentation, synthetic images
methods : losses, decision rules, the one registry of methods
models : backbones and their weights, heads, frozen features
training : many networks in one compiled program, or one after another
figures : one style, one colour a method, charts by kind
papers : published tables beside measured ones
check : whether an exercise's answer is right
runner, run : the notebooks, headless: ``python -m helpers.run``

A room imports only from those above it; each says in its own ``help`` what
it holds.
"""
