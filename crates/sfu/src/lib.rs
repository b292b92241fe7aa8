//! Sans-IO core of one edge: rooms, tracks and the forwarding of their packets.
