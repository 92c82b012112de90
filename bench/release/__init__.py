"""The life of a release on the local cluster, measured: how long an install takes, and calls while it is upgraded and rolled back."""
