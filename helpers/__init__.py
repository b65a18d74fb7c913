"""What the notebooks draw on: ten rooms, each a concept of the field.

paths, terminal, session : where things lie; a notebook's run
imbalance : counts and class weights, resampling, splits and their leakage
evaluation : metrics, intervals over independent groups, detection scores
data : data sets by name, the audit, segmentation, synthetic images
methods : losses, decision rules, the one registry of methods
models : backbones and their weights, heads, frozen features, saliency
training : many networks in one program, or one after another
figures : one style, every chart
papers : published tables beside measured ones
runner, run : the notebooks, headless

A room imports only from those above it.
"""
