"""Assets: thin bodies that call one function and report what an operator wants to see."""
