//! Sans-IO core of the backbone: relays, interest, splitting and joining, link health.
