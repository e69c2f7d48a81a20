"""Scoring a merged model: lm-eval tasks, perplexity, and the sandbox for generated code."""
