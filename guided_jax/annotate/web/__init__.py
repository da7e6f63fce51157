"""The server of the page: its routes, who may ask, and the messages of the web socket."""
