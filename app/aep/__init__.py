"""The published contract of Adobe Experience Platform, as values: what everybody speaks.

Pure: no I/O. `upstream` speaks it as a client, `rest` and `emulator` as servers.
"""
