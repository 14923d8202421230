"""Speed side by side: `klv bench`, and the parts that `benchmarks/` uses too."""
