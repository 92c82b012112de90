"""Makes a loaded model cheaper, and proves that it still gives the same answers: precision, compilation, quality."""
