"""The stereo pipeline: a 2D video in, a 3D video out, converted segment by segment on as many workers as there are."""
