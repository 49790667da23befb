"""The function behind the TLS setting of the API's private integration."""
