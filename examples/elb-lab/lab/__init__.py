"""Plays the steps of the laboratory, and checks what each one shows."""
