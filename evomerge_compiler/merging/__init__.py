"""Turns a compiled merge into a model folder."""
