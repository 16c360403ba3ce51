//! The packed node format: tokens, strings, addresses, nodes. Knows nothing of what any stanza means.
