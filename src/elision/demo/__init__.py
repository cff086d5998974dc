"""The drawn stand-in for data that cannot be passed on: faces and voices that a computer makes."""
