//! The server's half of the protocol as a second sans-IO machine. Shares codecs with the client, never its behaviour.
