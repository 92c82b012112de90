"""Where the time of a call goes: stages, operations, batch sizes; measured in interleaved rounds."""
