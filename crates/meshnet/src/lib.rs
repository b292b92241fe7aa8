//! Mesh transport: QUIC with mutual TLS from the mesh CA, framed control streams, link impairment.
