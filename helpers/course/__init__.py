"""Course: what a notebook talks to."""
