"""Nothing crosses from one organization, or one sandbox, to another: every call there is, tried."""
