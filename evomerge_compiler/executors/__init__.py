"""Ways to run work: merge a plan, evaluate the result. One way a file, behind one protocol."""
