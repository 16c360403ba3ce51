//! Media objects: key expansion, streaming cipher, sidecar. Moves no files.
