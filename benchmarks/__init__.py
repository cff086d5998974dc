"""Speed, memory and accuracy against peers. Not tests: each prints ratios measured in one run."""
