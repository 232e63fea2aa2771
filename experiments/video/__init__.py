"""Clips: training, the families beside each other, optical flow."""
