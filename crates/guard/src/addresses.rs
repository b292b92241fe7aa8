//! Which addresses may come.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

/// Prefixes that may come, and prefixes that may not. The default lets everybody in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressRules {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
}

impl AddressRules {
    /// Everybody in `allow`, or everybody at all when it is empty, but nobody in `deny`.
    #[must_use]
    pub const fn new(allow: Vec<IpNet>, deny: Vec<IpNet>) -> Self {
        Self { allow, deny }
    }

    /// Whether that address may come. An IPv4 address that is mapped into IPv6 counts as IPv4.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let is_in = |list: &[IpNet]| list.iter().any(|prefix| prefix.contains(&address));
        (self.allow.is_empty() || is_in(&self.allow)) && !is_in(&self.deny)
    }
}

/// What counts as one caller: an IPv4 address, or the /64 of an IPv6 address, since whoever has one
/// of its addresses has all.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let mut segments = v6.segments();
            segments[4..].fill(0);
            Ipv6Addr::from(segments).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(list: &[&str]) -> Vec<IpNet> {
        let parse = |text: &&str| text.parse().expect("a prefix");
        list.iter().map(parse).collect()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn who_is_denied_stays_out_even_where_it_is_allowed() {
        let rules = AddressRules::new(
            nets(&["192.0.2.0/24", "2001:db8::/32"]),
            nets(&["192.0.2.7/32"]),
        );
        for (address, allowed) in [
            ("192.0.2.1", true),
            ("192.0.2.7", false),
            ("::ffff:192.0.2.7", false),
            ("::ffff:192.0.2.8", true),
            ("198.51.100.1", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(rules.allows(ip(address)), allowed, "{address}");
        }
    }

    #[test]
    fn without_a_list_everybody_comes() {
        assert!(AddressRules::default().allows(ip("198.51.100.1")));
        let deny = AddressRules::new(Vec::new(), nets(&["198.51.100.0/24"]));
        assert!(deny.allows(ip("203.0.113.1")) && !deny.allows(ip("198.51.100.1")));
    }

    #[test]
    fn a_customer_is_one_caller() {
        assert_eq!(network(ip("2001:db8:1:2:3::4")), ip("2001:db8:1:2::"));
        assert_eq!(network(ip("::ffff:192.0.2.7")), ip("192.0.2.7"));
    }
}
