"""The whole gateway, on a real database, in front of a real emulator that it reaches by HTTP."""
