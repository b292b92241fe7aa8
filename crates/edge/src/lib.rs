//! One edge: media workers, ICE, DTLS, SDP, signalling and the backbone's sockets.
