//! Sans-IO core that decides who goes to which edge, and along which relay tree tracks travel.
