"""Layouts: how a folder of recordings names its samples. None of them opens a recording."""
