"""What a committee decides and has to answer for."""
