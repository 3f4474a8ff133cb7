"""The verb ``demo``, its app and its document."""
