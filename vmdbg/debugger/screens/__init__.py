"""What the screens show, as frozen values: made by the session's thread, drawn by the interface."""
