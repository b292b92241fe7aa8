//! The coordinator: REST, GeoIP, DNS, store, and the distribution of plans.
