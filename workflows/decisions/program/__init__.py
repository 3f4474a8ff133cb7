"""What a program asks for, its children, and its end. Pure."""
