"""The reference workload `sceneline`: a small decoder that says what is in a picture, and where.

Pictures are synthetic scenes of 1 to 3 shapes, a caption names them in raster order ("red disc and blue cross"), and each
word's place in the picture is known. So accuracy, grounding and every compression are measured against the truth, and
nothing has to be downloaded. A captioner for photographs it is not.
"""
