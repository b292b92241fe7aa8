//! A thousand edges and a million participants, with nothing but decisions.
