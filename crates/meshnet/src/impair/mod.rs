//! Link impairment: makes a loopback feel like a link between continents.
