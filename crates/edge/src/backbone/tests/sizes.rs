//! Packets of browsers' sizes over paths of several sizes, as the metrics count them.

use super::path::{Path, measured};
use super::*;

/// An IPv4 and a UDP header.
const HEADERS: usize = 28;

/// A path that carries so much UDP payload.
fn carrying(longest: usize) -> LinkFigures {
    LinkFigures {
        delay: Duration::from_millis(5),
        longest: Some(longest),
        ..LinkFigures::default()
    }
}

#[tokio::test]
async fn at_the_initial_mtu_every_packet_crosses_split_and_joined() {
    measured(async |metrics| {
        let mut path = Path::open(carrying(1_200), metrics).await;
        assert_eq!(path.pictures(500).await, 400, "the long ones");
        assert_eq!(path.count("dropped_packets_total"), 0);
        assert!(path.path.there().too_long > 0, "more was tried");
    })
    .await;
}

#[tokio::test]
async fn once_the_path_mtu_is_found_no_packet_is_split() {
    for mtu in [1_280, 1_400, 1_500] {
        measured(async |metrics| {
            let longest = mtu - HEADERS;
            let mut path = Path::open(carrying(longest), metrics).await;
            // QUIC looks for at most 1,452 bytes, which is what IPv6 leaves of 1,500.
            let least = longest.min(1_452) - 4;
            let found = async {
                loop {
                    path.pictures(20).await;
                    // The gauge is set with each report.
                    assert_eq!(path.one.backbone.reports().len(), 1);
                    if path.count("mtu_bytes") >= least as u64 {
                        return;
                    }
                }
            };
            timeout(PATIENCE, found).await.expect("the MTU is found");
            assert_eq!(path.pictures(500).await, 0, "split at {mtu}");
            assert_eq!(path.count("dropped_packets_total"), 0);
        })
        .await;
    }
}
